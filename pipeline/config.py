"""The configuration of a run: one frozen value, checked when made, the same from options, file and Python."""

import dataclasses
import math
import os
import re
from dataclasses import dataclass
from typing import Any

from recycle_pipeline.exporters.onnx.runtime import require_runs_on, versions_for
from recycle_pipeline.models.draws import INITS, MAX_SEED
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.pipeline.checks import (
    check_at_least,
    check_between,
    check_choice,
    check_counts,
    check_provider,
    check_prune,
    option,
)
from recycle_pipeline.pipeline.defaults import LARGEST_STEP, filled
from recycle_pipeline.pipeline.forms import ALL, FORMS, wanted_forms
from recycle_pipeline.pipeline.presets import find_preset
from recycle_pipeline.pipeline.rate_changes import as_text, rate_changes

PROVIDERS = ("auto", "cpu", "cuda")  # and any other that ONNX Runtime knows, which is asked then
SUBNETWORKS = ("binary", "continuous")
SCORE_RULES = ("magnitude", "signed")
ROUNDINGS = ("edge-popup", "iterand")
REUSES = ("recycle", "rerandomize", "hybrid", "none")
RECYCLE_FROM = ("top", "next-lowest")
RECYCLING = ("recycle", "hybrid")  # kinds of reuse
OPTIMIZERS = ("sgd", "adam", "lars")
SCHEDULES = ("cosine", "cosine-epoch", "constant")
SCOPES = ("layer", "global")
ALLOCATIONS = ("uniform", "erk", "root")
PRECISIONS = ("auto", "bfloat16", "tf32", "float32")
SCALE_FANS = ("keep", "none", "published")
# Far above any use; ResNet-18 takes 2.5 MB for each image of 32 px.
LARGEST_TIMED_BATCH, MOST_THREADS = 4096, 1024
DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")


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
    batch_norm: str | None = None
    prune: float = 0.9
    subnetwork: str = "binary"
    init: str | None = None
    scale_fan: str = "keep"
    reuse: str = "recycle"
    reuse_rate: float | None = None
    reuse_period: int | None = None
    reuse_period_steps: int | None = None
    recycle_from: str | None = None
    scope: str = "layer"
    allocation: str | None = None
    scores: str | None = None
    rounding: str = "edge-popup"
    layer_minimum: float | None = None
    data: str = "digits"
    data_root: str | None = None
    download: bool = False
    image_size: int | None = None
    skip_unreadable: bool = False
    hold_out: int = 0
    cutout: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    learning_rate_after: str | None = None
    optimizer: str | None = None
    schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float | None = None
    warmup: float | None = None
    label_smoothing: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    processes: int | None = None
    tensorboard: bool = False
    statistics_bits: int = 23
    export: tuple[str, ...] = ("onnx",)
    embed_preprocessing: bool = False
    shrink: bool = True
    ort_target: str | None = None
    provider: str = "auto"
    max_difference: float = 1e-4
    min_agreement: float | None = None
    max_accuracy_drop: float | None = None
    min_top1: float | None = None
    max_slowdown: float | None = None
    timed_batch: tuple[int, ...] = (1,)
    timed_threads: tuple[int, ...] = (1,)
    output_dir: str | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        check_prune(self.prune)
        self.options  # noqa: B018 - checks them
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageFault(f"--seed {self.seed}: expected an integer from 0 to {MAX_SEED}")
        check_choice("subnetwork", self.subnetwork, SUBNETWORKS)
        check_choice("init", self.init, (None, *INITS))
        check_choice("scale_fan", self.scale_fan, SCALE_FANS)
        check_choice("reuse", self.reuse, REUSES)
        check_choice("scope", self.scope, SCOPES)
        check_choice("allocation", self.allocation, (None, *ALLOCATIONS))
        if self.preset is not None:
            find_preset(self.preset)
        check_choice("scores", self.scores, (None, *SCORE_RULES))
        check_choice("rounding", self.rounding, ROUNDINGS)
        check_choice("recycle_from", self.recycle_from, (None, *RECYCLE_FROM))
        check_choice("optimizer", self.optimizer, (None, *OPTIMIZERS))
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_provider(self.provider, PROVIDERS)
        if not self.export:
            raise UsageFault(f"{option('export')} names no form: expected one or more of {', '.join(FORMS)}")
        for form in self.export:
            check_choice("export", form, (*FORMS, ALL))
        object.__setattr__(self, "export", wanted_forms(self.export))
        versions_for(self.ort_target)
        for form in self.export if len(self.export) < len(FORMS) else ():
            require_runs_on(form, self.ort_target)
        if not DEVICE.fullmatch(self.device):
            raise UsageFault(f"{option('device')} {self.device!r}: expected auto, cpu, cuda or cuda:N")
        check_at_least("epochs", self.epochs, 1)
        check_at_least("batch_size", self.batch_size, 2)
        check_at_least("processes", self.processes, 1)
        check_at_least("reuse_period", self.reuse_period, 1)
        check_at_least("reuse_period_steps", self.reuse_period_steps, 1)
        check_at_least("image_size", self.image_size, 1)
        check_at_least("hold_out", self.hold_out, 0)
        check_at_least("cutout", self.cutout, 0)
        check_between("learning_rate", self.learning_rate, 0, LARGEST_STEP, low_open=True)
        for _, rate in rate_changes(self.learning_rate_after):
            check_between("learning_rate_after", rate, 0, LARGEST_STEP, low_open=True)
        check_between("momentum", self.momentum, 0, 1, high_open=True)
        check_between("weight_decay", self.weight_decay, 0, LARGEST_STEP)
        check_between("warmup", self.warmup, 0, math.inf)
        check_between("label_smoothing", self.label_smoothing, 0, 1, high_open=True)
        # Above one half, sources and targets of recycling would overlap.
        check_between("reuse_rate", self.reuse_rate, 0, 0.5 if self.reuse == "recycle" else 1, low_open=True)
        check_between("statistics_bits", self.statistics_bits, 1, 23)
        check_between("layer_minimum", self.layer_minimum, 0, 0.5)
        check_between("max_difference", self.max_difference, 0, math.inf)
        check_between("min_agreement", self.min_agreement, 0, 1)
        check_between("max_accuracy_drop", self.max_accuracy_drop, 0, 1)
        check_between("min_top1", self.min_top1, 0, 1)
        check_between("max_slowdown", self.max_slowdown, 0, math.inf)
        check_counts("timed_batch", self.timed_batch, 1, LARGEST_TIMED_BATCH)
        check_counts("timed_threads", self.timed_threads, 0, MOST_THREADS)
        self._check_together()

    def _check_together(self) -> None:
        """Refuses settings that contradict each other, or that another leaves without effect."""
        if self.reuse_period is not None and self.reuse_period_steps is not None:
            raise UsageFault(
                f"--reuse-period {self.reuse_period} and --reuse-period-steps {self.reuse_period_steps} were "
                "both given: expected one of them"
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
    def recycles(self) -> bool:
        """Whether reuse copies weights; what they are copied from matters to no other."""
        return self.reuse in RECYCLING

    @property
    def options(self) -> ArchOptions:
        """Of the architecture; with fixed batch norm while that is undecided."""
        norm = "fixed" if self.batch_norm is None else self.batch_norm
        return ArchOptions(self.width, self.activations, norm)  # type: ignore[arg-type]

    def resolve(self) -> "RunConfig":
        """Fills in what follows from other settings (`defaults`), and makes paths usable from anywhere.

        Raises:
            UsageFault: the learning rate would warm up to the end, or change after it.
        """
        paths: dict[str, Any] = {
            "data": _absolute_folder(self.data),
            "data_root": None if self.data_root is None else _absolute(self.data_root),
            "output_dir": None if self.output_dir is None else os.path.expanduser(self.output_dir),
        }
        changes = rate_changes(self.learning_rate_after)
        resolved = dataclasses.replace(self, **filled(self), **paths, learning_rate_after=as_text(changes))
        if (resolved.warmup or 0) >= (resolved.epochs or math.inf):
            raise UsageFault(
                f"--warmup {self.warmup:g} is not shorter than the search of {resolved.epochs} epochs: "
                "expected less, or give more --epochs"
            )
        if changes and changes[-1][0] >= (resolved.epochs or math.inf):
            raise UsageFault(
                f"--learning-rate-after {self.learning_rate_after} has no effect on a search of "
                f"{resolved.epochs} epochs: expected fewer before it, or give more --epochs"
            )
        return resolved

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML and JSON; None is left out."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}


def _absolute_folder(data: str) -> str:
    """`folder:PATH` with an absolute path, so that a run folder can be used from anywhere."""
    kind, colon, path = data.partition(":")
    return f"folder:{_absolute(path)}" if kind == "folder" and colon and path else data


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
