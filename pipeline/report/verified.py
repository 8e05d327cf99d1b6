"""verify.json as a report reads it: what it knows of is taken, what is missing or new is passed over."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.report.estimate import Estimate, proportion, quantile, ratio
from recycle_pipeline.pipeline.report.facts import (
    FormAccuracy,
    Further,
    Gate,
    Latency,
    Ratio,
    Timed,
    Verified,
)
from recycle_pipeline.pipeline.wording import printable

LATEST = 1  # schema that this reads
TWIN, SHAPES = "dense twin", "same shapes, nothing pruned"
NOT_ASKED = "not-asked"
Json = Mapping[str, Any]


def read_verify(path: Path) -> Json | None:
    """Its content, None where it is not there.

    Raises:
        CorruptArtefact: it is damaged, or of a later schema.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        schema = content["schema"]
        if schema == LATEST:
            _require_gates(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path} is damaged ({type(error).__name__}: {error}); "
            f"`recycle-pipeline verify {path.parent} --force` makes it again"
        ) from error
    if not isinstance(schema, int) or schema > LATEST:
        raise CorruptArtefact(f"{path} has schema {schema}, this recycle-pipeline reads up to {LATEST}")
    return dict(content)


def _require_gates(content: Json) -> None:
    """Raises what a reader would stumble over: forms that are none, gates without their parts."""
    for part in (content, *content.get("forms", {}).values(), *content.get("unmeasured", {}).values()):
        for gate in part.get("verdicts", []):
            _ = gate["name"], gate["outcome"], gate["sentence"], float(gate.get("limit") or 0)


def verified_of(path: Path, content: Json) -> Verified:
    """What a report says of it.

    Raises:
        CorruptArtefact: a part of it is not what `verify` writes.
    """
    try:
        n = int(content["n"])
        return Verified(
            proportion(float(content["accuracy"]["reference"]["top1"]), n),
            tuple(printable(str(name)) for name in content.get("classes", [])),
            tuple(_accuracies(content, n)),
            _latency(content),
            str(content["provider"]),
            str(content.get("provider_note", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptArtefact(f"{path} is damaged ({type(error).__name__}: {error})") from error


def gates_of(content: Json) -> list[Gate]:
    """Gates that were asked for: of `onnx` first, then of the other forms."""
    of = {DENSE: content.get("verdicts", [])}
    others = {**content.get("forms", {}), **content.get("unmeasured", {})}
    of |= {form: found.get("verdicts", []) for form, found in others.items()}
    return [
        Gate(form, str(gate["name"]), str(gate["outcome"]), str(gate["sentence"]))
        for form, gates in of.items()
        for gate in gates
        if gate["outcome"] != NOT_ASKED
    ]


def _accuracies(content: Json, n: int) -> Iterator[FormAccuracy]:
    parity = content["parity"]
    yield FormAccuracy(
        DENSE,
        proportion(float(content["accuracy"]["model"]["top1"]), n),
        _counted(content.get("top5")),
        _classes(content),
        "torch",
        float(parity["max_difference"]),
        float(parity["top1_agreement"]),
        exact=False,
        rejected="rejected" in content,
        needs=_needs(content.get("metadata", {}).get("onnxruntime"), None),
    )
    for form, found in content.get("forms", {}).items():
        yield FormAccuracy(
            form,
            proportion(float(found["top1"]), n),
            _counted(found.get("top5")),
            _classes(found),
            str(found["compared_with"]),
            float(found["max_difference"]),
            float(found["top1_agreement"]),
            exact=bool(found.get("exact")),
            rejected="rejected" in found,
            exact_told=_told(found.get("exact_told")),
            needs=_needs(found.get("runtime"), found.get("needs")),
        )


def _told(found: Json | None) -> str:
    """What a session was told for the logits of `onnx`, if it gave them."""
    return str(found["told"]) if found and found["max_difference"] == 0 else ""


def _needs(runtime: object, more: object) -> tuple[str, ...]:
    """The version of onnxruntime, and anything else, as far as they are known."""
    return (*((f"onnxruntime {runtime}",) if runtime else ()), *((str(more),) if more else ()))


def _counted(found: Json | None) -> Estimate | None:
    """An accuracy as `verify` counts it."""
    return proportion(float(found["top1"]), int(found["n"])) if found else None


def _classes(found: Json) -> tuple[Estimate | None, ...]:
    return tuple(_counted(each) for each in found.get("per_class", []))


def _latency(content: Json) -> Latency | None:
    found = content.get("latency")
    if not found:
        return None
    machine = content.get("machine", {})
    beside = (TWIN, "twin", found.get("baseline")), (SHAPES, "shapes", found.get("same_shapes"))
    forms = ((form, "model", entry.get("latency")) for form, entry in content.get("forms", {}).items())
    models = (DENSE, "model", found["model"]), *beside, *forms
    return Latency(
        int(found["batch"]),
        int(found["threads"]),
        str(content["provider"]),
        ", ".join([str(machine.get("cpu", "unknown CPU")), *map(str, machine.get("gpus", []))]),
        tuple(_timed(name, kind, samples) for name, kind, samples in models if samples),
        tuple(_ratios(content, found)),
        tuple(_further(each) for each in content.get("further_latencies", [])),
    )


def _ratios(content: Json, found: Json) -> Iterator[Ratio]:
    own = float(found["model"]["median_ms"])
    for name, samples, against in (
        (TWIN, found.get("baseline"), found.get("ratio")),
        (SHAPES, found.get("same_shapes"), found.get("same_shapes_ratio")),
    ):
        if samples and against:
            yield Ratio(DENSE, name, ratio(against), own, float(samples["median_ms"]))
    for form, entry in content.get("forms", {}).items():
        if entry.get("latency_ratio"):
            yield Ratio(
                form,
                DENSE,
                ratio(entry["latency_ratio"]),
                float(entry["latency_ms"]),
                float(entry["dense_ms"]),
            )


def _further(found: Json) -> Further:
    own, other = float(found["median_ms"]), float(found["against_ms"])
    pair = Ratio(str(found["form"]), str(found["against"]), ratio(found["ratio"]), own, other)
    return Further(int(found["batch"]), int(found["threads"]), str(found["provider"]), pair)


def _timed(name: str, kind: str, found: Json) -> Timed:
    samples = tuple(float(ms) for ms in found["samples_ms"])
    if not samples:
        raise ValueError(f"no samples of {name}")
    median, p90, p95, p99 = (quantile(samples, fraction) for fraction in (0.5, 0.9, 0.95, 0.99))
    if int(found.get("sessions", 1)) > 1:
        low, high = float(found["median_low_ms"]), float(found["median_high_ms"])
        median = Estimate(float(found["median_ms"]), int(found["sessions"]), "sessions", low, high)
    return Timed(name, kind, len(samples), median, p90, p95, p99, bool(found.get("settled", True)), samples)
