"""What a report says, as values: one `RunFacts` for each run. `to_json` of the page are these, by name.

A part is None, or empty, where the run has not come to it; `missing` says what that takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recycle_pipeline.pipeline.report.estimate import Estimate

Outcome = Literal["passed", "failed", "inconclusive", "not gated", "not verified"]


@dataclass(frozen=True)
class Gate:
    """A gate that somebody asked for, or that a form's promise is."""

    form: str
    name: str
    outcome: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What comes first: one outcome, and why."""

    outcome: Outcome
    sentence: str
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True)
class Missing:
    """A stage that did not finish, and the command that makes it."""

    stage: str
    what: str
    command: str


@dataclass(frozen=True)
class Epoch:
    """An epoch of the search; fractions from 0 to 1. `written` and `changed` are of the reuse after it."""

    epoch: int
    loss: float
    train_accuracy: float
    accuracy: float
    written: int
    changed: int
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Search:
    """The search, a single run of one seed.

    Attributes:
        epochs: finished ones.
        asked: epochs asked for; more where it was interrupted.
        measured_on: "test" or "held out".
        accuracy: after the last epoch.
        finished: whether the stage is in the manifest.
    """

    epochs: tuple[Epoch, ...]
    asked: int
    measured_on: str
    accuracy: Estimate | None
    finished: bool


@dataclass(frozen=True)
class Layer:
    """A masked layer. Densities of filters are their 5th, 50th and 95th percentile, in fractions kept.

    `moved` are kept weights whose value (sign, if binary) is not the one that the seed gives at their place.
    `bound_bytes` is the entropy of its bits, mask and moved signs, if they were independent.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    kept: int
    moved: int
    filters: int
    empty_filters: int
    filter_low: float
    filter_median: float
    filter_high: float
    bytes: int
    bound_bytes: float

    @property
    def density(self) -> float:
        """The fraction kept."""
        return self.kept / self.weights


@dataclass(frozen=True)
class Network:
    """The subnetwork of the ticket, or of the search where it is not packed."""

    arch: str
    kind: str
    seed: int
    prune: float
    scope: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    weights: int
    kept: int
    moved: int
    layers: tuple[Layer, ...]

    @property
    def density(self) -> float:
        """The fraction kept of all masked weights."""
        return self.kept / self.weights


@dataclass(frozen=True)
class Size:
    """Bytes of a file or of a bound. Counted, not estimated: they have no interval.

    `kind` is "dense" (float32 of all masked weights), "ticket", "bound", "form" or "rejected".
    """

    name: str
    kind: str
    about: str
    bytes: int


@dataclass(frozen=True)
class Timed:
    """Times of one model, in ms; `p90`, `p95` and `p99` have no interval where too few rounds support them.

    The median's interval is over the sessions that were opened for it, in files of before over rounds; those
    of the others are over rounds. `samples` are those of every round; they stay in verify.json and are not
    repeated in the JSON. `kind` is "model" for what was exported, "twin" or "shapes" for what is beside it.
    """

    name: str
    kind: str
    rounds: int
    median: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    settled: bool
    samples: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """Latency of a form over that of another, timed in the same rounds; `median_ms` is the form's own."""

    form: str
    baseline: str
    ratio: Estimate
    median_ms: float
    baseline_ms: float


@dataclass(frozen=True)
class Further:
    """A ratio at another batch size or thread count than `Latency` has, under `provider`."""

    batch: int
    threads: int
    provider: str
    ratio: Ratio


@dataclass(frozen=True)
class Latency:
    """What was timed: `batch` images a call, `threads` of ONNX Runtime, on `machine`."""

    batch: int
    threads: int
    provider: str
    machine: str
    models: tuple[Timed, ...]
    ratios: tuple[Ratio, ...]
    further: tuple[Further, ...] = ()


@dataclass(frozen=True)
class FormAccuracy:
    """Top-1 of an exported form under ONNX Runtime, and how near its logits are.

    `compared_with` is "torch" or "onnx". `max_difference` and `top1_agreement` are over the same images.
    `top5` is None, and `per_class` empty, where `verify` was of an earlier version; of a class without images
    there is None. `exact_told` is what a session was told when its logits were those of `onnx` to the bit; ""
    where they were not, or it was not tried. `needs` are the runtime and whatever else it takes.
    """

    form: str
    top1: Estimate
    top5: Estimate | None
    per_class: tuple[Estimate | None, ...]
    compared_with: str
    max_difference: float
    top1_agreement: float
    exact: bool
    rejected: bool
    exact_told: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """What verify.json says; `torch` is the rebuilt network's top-1. `classes` are names, in their order."""

    torch: Estimate
    classes: tuple[str, ...]
    forms: tuple[FormAccuracy, ...]
    latency: Latency | None
    provider: str
    note: str


def named_classes(verified: Verified) -> list[tuple[str, Estimate | None]]:
    """Each class with the accuracy of `onnx` on its images; empty where `verify` did not say it."""
    found = verified.forms[0].per_class
    return list(zip(verified.classes, found, strict=True)) if len(found) == len(verified.classes) else []


@dataclass(frozen=True)
class Environment:
    """Versions and hardware that these stages ran with."""

    stages: tuple[str, ...]
    values: Mapping[str, str]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class StageTime:
    """When a stage ran and for how long, in seconds: a single run."""

    stage: str
    started: str
    seconds: float


@dataclass(frozen=True)
class File:
    """A file that a stage wrote."""

    name: str
    sha256: str


@dataclass(frozen=True)
class RunFacts:
    """All that is known of a run.

    Attributes:
        name: of its folder, or its path where two have one name.
        settings: resolved, plain values; paths of data left out.
        data: name of the data set; "" where none was named.
        data_digest: of its content; "" where unknown.
        dense_bytes: float32 of all masked weights.
        shrinking: what exact shrinking did, as the manifest has it.
        commands: that make this run again, one a line.
        notes: what a reader should know, in sentences.
    """

    name: str
    settings: Mapping[str, Any]
    data: str
    data_digest: str
    verdict: Verdict
    missing: tuple[Missing, ...]
    search: Search | None
    network: Network | None
    sizes: tuple[Size, ...]
    verified: Verified | None
    shrinking: Mapping[str, Any] | None
    environments: tuple[Environment, ...]
    stages: tuple[StageTime, ...]
    files: tuple[File, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...]

    def size(self, name: str) -> Size | None:
        """The row of that name."""
        return next((size for size in self.sizes if size.name == name), None)
