"""What `RunConfig.resolve` fills in: defaults that follow from the data, the network and other settings."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.options import SIGN_AGREEMENT

if TYPE_CHECKING:
    from recycle_pipeline.pipeline.config import RunConfig

CONV_NETS = ("conv2", "conv4", "conv6", "conv8")  # without batch norm
ADAM_RATE, ADAM_DECAY = 0.1, 0.0  # its steps do not scale with the gradient: as published, at any batch
RATE_BATCH = 256  # images, to which SGD's rates belong; they are linear in the batch (Goyal et al. 2017)
LARS_RATE, LARS_DECAY = 0.003, 0.0  # of the length of a layer's scores; from digits
LARGEST_STEP = 1e6  # of learning rate and weight decay: far above any use, far below what overflows float32
# Global scope: of a layer's own share; enough not to cut the network, too little to cost.
LAYER_MINIMUM = 0.01
REDRAWN, RECYCLED = 0.1, 0.2  # reuse rates
# Logits of sums of signs are whole numbers times a gain: many are equal but for rounding, which then decides
# the top-1 class (3 % of the images of a weak ResNet-20 on digits). Hence the larger drop.
ACCURACY_DROP, SIGN_ACCURACY_DROP = 0.005, 0.02


CIFAR, CUTOUT = ("cifar10", "cifar100"), 8  # pixels of 32
LONG = 100  # epochs, to which rates belong and from which on cutout gains; at 30 it costs
# Where much is kept epochs limit: ResNet-18 at 80 % removed has 94.7 % of held-out images right
# in 100, 95.6 in 200 (benchmarks/records/2026-11-28-missed.jsonl).
DENSE, LONGER = 0.9, 200


@dataclass(frozen=True)
class Usual:
    """What suits a data set and a kind of network. None of it is taken where the user says otherwise.

    Attributes:
        epochs, batch_size, label_smoothing, optimizer, scores, allocation, batch_norm: as the settings.
        rate, decay: learning rate at `RATE_BATCH`, and weight decay, of SGD.
        rate_grows: whether shorter searches than `LONG` take higher rates, by the root of their length.
        init: distribution of the draws for binary subnetworks.
        warmup: share of the epochs.
        recycle_from: which block recycling copies.
    """

    epochs: int
    batch_size: int
    rate: float
    decay: float
    init: str
    label_smoothing: float = 0.0
    optimizer: str = "sgd"
    scores: str = "magnitude"
    allocation: str = "root"
    batch_norm: str = "fixed"
    warmup: float = 0.0
    recycle_from: str = "top"
    rate_grows: bool = False


# Digits has few steps: 12 epochs with LARS do what 16 with SGD do
# (benchmarks/records/2026-11-22-digits-lars.json). With SGD networks with batch norm take twice the published
# rate and ten times the decay, chosen together with label smoothing and noise on folds of its train split
# (benchmarks/records/2026-11-22-digits-settings.json); constants do slightly better than a normal, and
# allocations make no difference (2026-11-22-digits-allocation.json).
_ON_DIGITS: dict[str, Any] = {"label_smoothing": 0.1, "optimizer": "lars", "allocation": "uniform"}
DIGITS = Usual(12, 64, rate=0.2, decay=5e-3, init="signed_constant", **_ON_DIGITS)
DIGITS_CONV = Usual(12, 64, rate=0.1, decay=1e-4, init="signed_constant", **_ON_DIGITS)
# Chosen on images held out of CIFAR-10's train split: benchmarks/records/2026-11-28-rates.jsonl, -long.jsonl
# and what came before them; docs/results.md has the tables.
OTHERS = Usual(100, 256, rate=0.1, decay=5e-4, init="signed_constant", batch_norm="learned", rate_grows=True)
# What conv networks recycle is worth 0.3 points, by 12 pairs of searches, held out (2026-11-30-conv-reuse).
_ON_CONV: dict[str, Any] = {"scores": "signed", "warmup": 0.05, "recycle_from": "next-lowest"}
OTHERS_CONV = Usual(100, 128, rate=0.8, decay=1e-4, init="kaiming_normal", **_ON_CONV)


def usual_for(data: str, arch: str) -> Usual:
    """What suits this data set and this network."""
    conv = arch in CONV_NETS
    if data == "digits":
        return DIGITS_CONV if conv else DIGITS
    return OTHERS_CONV if conv else OTHERS


def filled(config: "RunConfig") -> dict[str, Any]:
    """The settings that follow from others where they were not given, by name.

    Args:
        config: as the user gave it.

    Returns:
        Given or filled in; None where nothing is asked (`min_agreement`) or another setting stands in its
        place (`reuse_period`).
    """
    usual = usual_for(config.data, config.arch)
    binary, signs = config.subnetwork == "binary", config.options.binary
    on_cifar = config.data in CIFAR and usual is OTHERS
    epochs = config.epochs or (LONGER if on_cifar and config.prune < DENSE else usual.epochs)
    batch_size = config.batch_size or usual.batch_size
    # About ten events, as far apart as the budget allows: at a short budget frequent events hurt.
    period = config.reuse_period or max(2, math.ceil(epochs / 10))
    global_batch = batch_size * (config.processes or 1)
    optimizer = config.optimizer or usual.optimizer
    rate, decay = _rate_and_decay(optimizer, usual, epochs, global_batch)
    # What is trained of a batch norm is not the tool's to say in a user's network; signs were not tried.
    norm = "fixed" if signs or ":" in config.arch else usual.batch_norm
    cutout = CUTOUT if on_cifar and epochs >= LONG else 0
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": config.learning_rate or rate,
        "weight_decay": _or(config.weight_decay, decay),
        "warmup": _or(config.warmup, usual.warmup * epochs),
        "init": config.init or (usual.init if binary else "signed_constant"),
        "scores": config.scores or usual.scores,
        "allocation": (config.allocation or usual.allocation) if config.scope == "layer" else "uniform",
        "batch_norm": config.batch_norm or norm,
        "cutout": cutout if config.cutout is None else config.cutout,
        "label_smoothing": _or(config.label_smoothing, usual.label_smoothing),
        "reuse_rate": config.reuse_rate or (REDRAWN if config.reuse == "rerandomize" else RECYCLED),
        "reuse_period": None if config.reuse_period_steps else period,
        "recycle_from": (config.recycle_from or usual.recycle_from) if config.recycles else "top",
        "min_agreement": SIGN_AGREEMENT if signs and config.min_agreement is None else config.min_agreement,
        "max_accuracy_drop": _or(config.max_accuracy_drop, SIGN_ACCURACY_DROP if signs else ACCURACY_DROP),
        "layer_minimum": _or(config.layer_minimum, LAYER_MINIMUM if config.scope == "global" else 0.0),
    }


def _rate_and_decay(optimizer: str, usual: Usual, epochs: int, global_batch: int) -> tuple[float, float]:
    if optimizer == "adam":
        return ADAM_RATE, ADAM_DECAY
    if optimizer == "lars":
        return LARS_RATE, LARS_DECAY
    longer = math.sqrt(max(1.0, LONG / epochs)) if usual.rate_grows else 1.0
    return min(LARGEST_STEP, usual.rate * longer * global_batch / RATE_BATCH), usual.decay


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
