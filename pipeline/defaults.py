"""What `RunConfig.resolve` fills in: defaults that follow from the data, the network and other settings."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.options import SIGN_AGREEMENT

if TYPE_CHECKING:
    from recycle_pipeline.pipeline.config import RunConfig

CONV_NETS = ("conv2", "conv4", "conv6", "conv8")
CONV_RATE, CONV_DECAY = 0.1, 1e-4  # published, without batch norm; on any data
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


@dataclass(frozen=True)
class ForData:
    """What suits a data set.

    Attributes:
        epochs, batch_size, label_smoothing, optimizer: as the settings.
        rate: learning rate of SGD at `RATE_BATCH`, of networks with batch norm.
        decay: weight decay of networks with batch norm.
        binary_init: distribution of the draws for binary subnetworks.
    """

    epochs: int
    batch_size: int
    label_smoothing: float
    optimizer: str
    rate: float
    decay: float
    binary_init: str


# Digits has few steps: 12 epochs with LARS do what 16 with SGD do
# (benchmarks/records/2026-11-22-digits-lars.json). With SGD networks with batch norm take twice the published
# rate and ten times the decay, chosen together with label smoothing and noise on folds of its train split
# (benchmarks/records/2026-11-22-digits-settings.json); constants do slightly better than a normal.
DIGITS = ForData(12, 64, 0.1, "lars", rate=0.2, decay=5e-3, binary_init="signed_constant")
# The published rate and decay of the ResNets, and Biprop's normal. Label smoothing costs 0.2 points on
# CIFAR-10 at 30 epochs (n = 3).
OTHERS = ForData(30, 256, 0.0, "sgd", rate=0.1, decay=5e-4, binary_init="kaiming_normal")


def filled(config: "RunConfig") -> dict[str, Any]:
    """The settings that follow from others where they were not given, by name.

    Args:
        config: as the user gave it.

    Returns:
        Given or filled in; None where nothing is asked (`min_agreement`) or another setting stands in its
        place (`reuse_period`).
    """
    usual = DIGITS if config.data == "digits" else OTHERS
    binary, signs = config.subnetwork == "binary", config.options.binary
    epochs, batch_size = config.epochs or usual.epochs, config.batch_size or usual.batch_size
    # About ten events, as far apart as the budget allows: at a short budget frequent events hurt.
    period = config.reuse_period or max(2, math.ceil(epochs / 10))
    global_batch = batch_size * (config.processes or 1)
    optimizer = config.optimizer or usual.optimizer
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": config.learning_rate or _learning_rate(optimizer, config.arch, usual, global_batch),
        "init": config.init or (usual.binary_init if binary else "signed_constant"),
        "label_smoothing": _or(config.label_smoothing, usual.label_smoothing),
        "weight_decay": _or(config.weight_decay, _weight_decay(optimizer, config.arch, usual)),
        "reuse_rate": config.reuse_rate or (REDRAWN if config.reuse == "rerandomize" else RECYCLED),
        "reuse_period": None if config.reuse_period_steps else period,
        "min_agreement": SIGN_AGREEMENT if signs and config.min_agreement is None else config.min_agreement,
        "max_accuracy_drop": _or(config.max_accuracy_drop, SIGN_ACCURACY_DROP if signs else ACCURACY_DROP),
        "layer_minimum": _or(config.layer_minimum, LAYER_MINIMUM if config.scope == "global" else 0.0),
    }


def _learning_rate(optimizer: str, arch: str, usual: ForData, global_batch: int) -> float:
    if optimizer == "adam":
        return ADAM_RATE
    if optimizer == "lars":
        return LARS_RATE
    rate = CONV_RATE if arch in CONV_NETS else usual.rate
    return min(LARGEST_STEP, rate * global_batch / RATE_BATCH)


def _weight_decay(optimizer: str, arch: str, usual: ForData) -> float:
    if optimizer == "adam":
        return ADAM_DECAY
    if optimizer == "lars":
        return LARS_DECAY
    return CONV_DECAY if arch in CONV_NETS else usual.decay


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
