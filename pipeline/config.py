"""The configuration of a run: one frozen value, checked when made, the same from options, file and Python."""

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from recycle_pipeline.models.draws import INITS, check_seed
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import SIGN_AGREEMENT, ArchOptions
from recycle_pipeline.pipeline.presets import find_preset

FORMS = ("onnx",)
PROVIDERS = ("auto", "cpu", "cuda")
SUBNETWORKS = ("binary", "continuous")
SCORE_RULES = ("magnitude", "signed")
ROUNDINGS = ("edge-popup", "iterand")
REUSES = ("recycle", "rerandomize", "hybrid", "none")
RECYCLE_FROM = ("top", "next-lowest")
OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "cosine-epoch", "constant")
SCOPES = ("layer", "global")
SCALE_FANS = ("keep", "none", "published")
PAIRS = (("prune", "keep"), ("reuse_period", "reuse_period_steps"))  # at most one of each is given
CONV_NETS = ("conv2", "conv4", "conv6", "conv8")
DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")
LAYER_MINIMUM = (
    0.01  # global scope: of a layer's own share; enough not to cut the network, too little to cost
)
LARGEST_STEP = 1e6  # of learning rate and weight decay: far above any use, far below what overflows float32


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run. None means "decided by `resolve`" or, for gates, "not asked".

    Attributes are named as the command's options are, with underscores; their help is in
    `recycle-pipeline run --help`.

    Raises:
        UsageFault: a value is out of range or not one of its choices.
    """

    arch: str = "resnet18"
    width: float = 1.0
    activations: str = "relu"
    batch_norm: str = "fixed"
    prune: float = 0.9
    subnetwork: str = "binary"
    init: str | None = None
    scale_fan: str = "keep"
    reuse: str = "recycle"
    reuse_rate: float | None = None
    reuse_period: int | None = None
    reuse_period_steps: int | None = None
    recycle_from: str = "top"
    scope: str = "layer"
    scores: str = "magnitude"
    rounding: str = "edge-popup"
    layer_minimum: float | None = None
    data: str = "digits"
    data_root: str | None = None
    download: bool = False
    image_size: int | None = None
    hold_out: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str = "sgd"
    schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float | None = None
    warmup: float = 0.0
    label_smoothing: float | None = None
    seed: int = 0
    device: str = "auto"
    processes: int | None = None
    tensorboard: bool = False
    export: tuple[str, ...] = ("onnx",)
    embed_preprocessing: bool = False
    provider: str = "auto"
    max_difference: float = 1e-4
    min_agreement: float | None = None
    max_accuracy_drop: float | None = None
    min_top1: float | None = None
    max_slowdown: float | None = None
    output_dir: str | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        check_prune(self.prune)
        self.options  # noqa: B018 - checks them
        check_seed(self.seed)
        _choice("subnetwork", self.subnetwork, SUBNETWORKS)
        _choice("init", self.init, (None, *INITS))
        _choice("scale_fan", self.scale_fan, SCALE_FANS)
        _choice("reuse", self.reuse, REUSES)
        _choice("scope", self.scope, SCOPES)
        if self.preset is not None:
            find_preset(self.preset)
        _choice("scores", self.scores, SCORE_RULES)
        _choice("rounding", self.rounding, ROUNDINGS)
        _choice("recycle_from", self.recycle_from, RECYCLE_FROM)
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("provider", self.provider, PROVIDERS)
        if not self.export:
            raise UsageFault(f"{option('export')} names no form: expected one or more of {', '.join(FORMS)}")
        for form in self.export:
            _choice("export", form, FORMS)
        if not DEVICE.fullmatch(self.device):
            raise UsageFault(f"{option('device')} {self.device!r}: expected auto, cpu, cuda or cuda:N")
        _at_least("epochs", self.epochs, 1)
        _at_least("batch_size", self.batch_size, 2)
        _at_least("processes", self.processes, 1)
        _at_least("reuse_period", self.reuse_period, 1)
        _at_least("reuse_period_steps", self.reuse_period_steps, 1)
        _at_least("image_size", self.image_size, 1)
        _at_least("hold_out", self.hold_out, 0)
        _between("learning_rate", self.learning_rate, 0, LARGEST_STEP, low_open=True)
        _between("momentum", self.momentum, 0, 1, high_open=True)
        _between("weight_decay", self.weight_decay, 0, LARGEST_STEP)
        _between("warmup", self.warmup, 0, math.inf)
        _between("label_smoothing", self.label_smoothing, 0, 1, high_open=True)
        # Above one half, sources and targets of recycling would overlap.
        _between("reuse_rate", self.reuse_rate, 0, 0.5 if self.reuse == "recycle" else 1, low_open=True)
        _between("layer_minimum", self.layer_minimum, 0, 0.5)
        _between("max_difference", self.max_difference, 0, math.inf)
        _between("min_agreement", self.min_agreement, 0, 1)
        _between("max_accuracy_drop", self.max_accuracy_drop, 0, 1)
        _between("min_top1", self.min_top1, 0, 1)
        _between("max_slowdown", self.max_slowdown, 0, math.inf)
        self._check_together()

    def _check_together(self) -> None:
        """Refuses settings that contradict each other, or that another leaves without effect."""
        if self.reuse_period is not None and self.reuse_period_steps is not None:
            raise UsageFault(
                f"--reuse-period {self.reuse_period} and --reuse-period-steps {self.reuse_period_steps} were "
                "both given: expected one of them"
            )
        if self.recycle_from != "top" and self.reuse not in ("recycle", "hybrid"):
            raise UsageFault(
                f"--recycle-from {self.recycle_from} has no effect on --reuse {self.reuse}: expected recycle "
                "or hybrid, or leave it out"
            )
        if self.layer_minimum and self.scope != "global":
            raise UsageFault(
                f"--layer-minimum {self.layer_minimum:g} has no effect on --scope {self.scope}, where each "
                "layer keeps its share: expected --scope global, or leave it out"
            )
        if self.optimizer == "adam" and self.weight_decay:
            raise UsageFault(
                f"--weight-decay {self.weight_decay:g} has no effect on --optimizer adam, which has none as "
                "published: expected --optimizer sgd, or --weight-decay 0"
            )

    @property
    def options(self) -> ArchOptions:
        """Of the architecture."""
        return ArchOptions(self.width, self.activations, self.batch_norm)  # type: ignore[arg-type]

    def resolve(self) -> "RunConfig":
        """Fills in what depends on other settings: budget by data set, init by kind, reuse by budget.

        Logits of sums of signs are whole numbers times a gain: many are equal but for rounding, which then
        decides the top-1 class (3 % of the images of a weak ResNet-20 on digits). Hence the larger drop.
        """
        digits = self.data == "digits"
        epochs = self.epochs or (16 if digits else 30)
        binary, signs = self.subnetwork == "binary", self.options.binary
        batch_size = self.batch_size or (64 if digits else 256)
        return dataclasses.replace(
            self,
            data=_absolute_folder(self.data),
            data_root=None if self.data_root is None else os.path.abspath(os.path.expanduser(self.data_root)),
            output_dir=None if self.output_dir is None else os.path.expanduser(self.output_dir),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=self.learning_rate or self._usual_rate(batch_size * (self.processes or 1)),
            # Published Biprop draws from a normal; at the few steps of digits constants do slightly better.
            init=self.init or ("kaiming_normal" if binary and not digits else "signed_constant"),
            # On CIFAR-10 at 30 epochs it costs 0.2 points (n = 3); on digits it was chosen with the rest.
            label_smoothing=_or(self.label_smoothing, 0.1 if digits else 0.0),
            weight_decay=_or(self.weight_decay, self._usual_decay()),
            reuse_rate=self.reuse_rate or (0.1 if self.reuse == "rerandomize" else 0.2),
            # About ten events, as far apart as the budget allows: at a short budget frequent events hurt.
            reuse_period=None
            if self.reuse_period_steps
            else self.reuse_period or max(2, math.ceil(epochs / 10)),
            min_agreement=SIGN_AGREEMENT if signs and self.min_agreement is None else self.min_agreement,
            max_accuracy_drop=_or(self.max_accuracy_drop, 0.02 if signs else 0.005),
            layer_minimum=_or(self.layer_minimum, LAYER_MINIMUM if self.scope == "global" else 0.0),
        )

    def _usual_rate(self, batch_size: int) -> float:
        """SGD: linear in the batch (Goyal et al. 2017), 0.1 at 256, the published rate of the ResNets.

        In the few steps of digits, networks with batch norm take twice as much. Adam, whose steps do not
        scale with the gradient: the published 0.1 at any batch.
        """
        if self.optimizer == "adam":
            return 0.1
        twice = self.data == "digits" and self.arch not in CONV_NETS
        return min(LARGEST_STEP, (0.2 if twice else 0.1) * batch_size / 256)

    def _usual_decay(self) -> float:
        if self.optimizer == "adam":
            return 0.0
        if self.arch in CONV_NETS:
            return 1e-4
        # What decay does goes with rate and steps: chosen with digits' rate and noise, on folds of its train
        # split (benchmarks/records/2026-11-22-digits-settings.json).
        return 5e-3 if self.data == "digits" else 5e-4

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML and JSON; None is left out."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}


def config_from(values: Mapping[str, Any]) -> RunConfig:
    """A config from names and values as users write them (TOML, Python).

    `keep` may stand in place of `prune`; hyphens may stand for underscores; `export` may be a comma list.
    What a named `preset` sets holds where no value is given.

    Raises:
        UsageFault: an unknown name, a wrong type, or a bad value.
    """
    named = {name.replace("-", "_"): value for name, value in values.items() if value is not None}
    if "keep" in named:
        keep = named.pop("keep")
        if "prune" in named:
            raise UsageFault(
                f"--prune {named['prune']} and --keep {keep} were both given: expected one of them"
            )
        named["prune"] = prune_of_keep(keep)
    if isinstance(named.get("preset"), str):
        named = over(find_preset(named["preset"]).settings, named)
    hints = get_type_hints(RunConfig)
    for name in named:
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(hints)}"
            raise UsageFault(f"unknown setting {name!r}; {hint}")
    if "export" in named:
        named["export"] = forms_of(named["export"])
    return RunConfig(**{name: _typed(name, value, hints[name]) for name, value in named.items()})


def over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Given values over a base's, where a value also displaces the one that stands for the same thing."""
    displaced = {other for pair in PAIRS for name, other in (pair, pair[::-1]) if name in given}
    return {name: value for name, value in base.items() if name not in displaced} | dict(given)


def forms_of(value: Any) -> tuple[str, ...]:
    """Export forms from one name, a comma list, or a list of either; repeated names count once."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise UsageFault(f"setting export = {value!r} is a {type(value).__name__}; expected a list of forms")
    names = [part.strip() for item in items for part in str(item).split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def check_prune(prune: float) -> None:
    """Raises UsageFault unless 0 < prune < 1, with a hint for what was probably meant."""
    if isinstance(prune, bool) or not isinstance(prune, int | float) or math.isnan(prune):
        raise UsageFault(f"--prune {prune!r}: expected a number between 0 and 1, the fraction removed")
    if 0 < prune < 1:
        return
    if prune == 0:
        what = "removes nothing and leaves no search to do; give the fraction to remove, for example 0.9"
    elif prune == 1:
        what = "removes every weight; give the fraction to remove, for example 0.9"
    elif 1 < prune < 100:
        what = f"is not a fraction; did you mean {prune / 100:g}?"
    else:
        what = "is not a fraction between 0 and 1; for example 0.9 removes 90 % of the weights"
    raise UsageFault(f"--prune {prune:g} {what}")


def prune_of_keep(keep: Any) -> float:
    """The prune rate of a kept fraction. Raises UsageFault unless 0 < keep < 1."""
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep < 1:
        hint = f"; did you mean {keep / 100:g}?" if isinstance(keep, int | float) and 1 < keep < 100 else ""
        raise UsageFault(f"--keep {keep}: expected a fraction between 0 and 1, the part that is kept{hint}")
    # 1 - 0.1 is 0.9 exactly, but 1 - 0.2 + ... may not be: twelve digits are what a person can mean.
    return round(1.0 - keep, 12)


def option(name: str) -> str:
    """How a setting is spelled on the command line."""
    return "--" + name.replace("_", "-")


def _typed(name: str, value: Any, hint: Any) -> Any:
    allowed = get_args(hint) if not isinstance(hint, type) else (hint,)
    if name == "export":
        return value
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and not _is_text(value):
        raise UsageFault(
            f"{option(name)} {value!r} is not text in UTF-8; rename it to what config.toml can hold"
        )
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise UsageFault(f"setting {name} is too large: expected a number below 1.8e308") from error
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(t.__name__ for t in allowed if t is not type(None))
        raise UsageFault(f"setting {name} = {value!r} is a {type(value).__name__}; expected {wanted}")
    return value


def _choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        known = [c for c in choices if c is not None]
        close = difflib.get_close_matches(str(value), known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageFault(f"{option(name)} {value!r}: expected one of {', '.join(known)}{hint}")


def _at_least(name: str, value: int | None, low: int) -> None:
    if value is not None and value < low:
        raise UsageFault(f"{option(name)} {value}: expected at least {low}")


def _between(
    name: str, value: float | None, low: float, high: float, low_open: bool = False, high_open: bool = False
) -> None:
    if value is None:
        return
    too_low = value <= low if low_open else value < low
    too_high = value >= high if high_open else value > high
    if too_low or too_high or not math.isfinite(value):
        interval = f"{'more than' if low_open else 'at least'} {low:g}"
        if math.isfinite(high):
            interval += f" and {'less than' if high_open else 'at most'} {high:g}"
        raise UsageFault(f"{option(name)} {value:g}: expected {interval}")


def _is_text(value: str) -> bool:
    """False for file names that are bytes of no encoding, which Python carries as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _absolute_folder(data: str) -> str:
    """`folder:PATH` with an absolute path, so that a run folder can be used from anywhere."""
    kind, colon, path = data.partition(":")
    return (
        f"folder:{os.path.abspath(os.path.expanduser(path))}" if kind == "folder" and colon and path else data
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
