"""Several runs beside each other: accuracy against size against latency, where they can be compared."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recycle_pipeline.pipeline.report.estimate import Estimate, mean
from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.report.pareto import dominators
from recycle_pipeline.pipeline.report.sizes import TICKET

# Not of the search: runs that differ in these alone are repetitions of one another.
APART = ("seed", "device", "tensorboard", "download", "export", "provider")


@dataclass(frozen=True)
class Point:
    """An exported form of a run.

    Attributes:
        run: its number, from 1.
        form: its name.
        top1: under ONNX Runtime.
        bytes: of the file.
        latency_ms: median of a call, with an interval where samples are kept; None where it was not timed.
        better: place, in the group's points, of one on the front that is nowhere worse and somewhere better;
            None on the front.
        sure: whether the accuracy intervals of the two do not overlap.
    """

    run: int
    form: str
    top1: Estimate
    bytes: int
    latency_ms: Estimate | None
    better: int | None = None
    sure: bool = False


@dataclass(frozen=True)
class Group:
    """Points measured on the same images.

    Attributes:
        data: name of the data set.
        points: of all runs on it.
        timed: whether all were timed on one kind of machine, so that latency counts for the front.
        note: why not, or "".
    """

    data: str
    points: tuple[Point, ...]
    timed: bool
    note: str


@dataclass(frozen=True)
class Repeated:
    """Runs of the same settings but for the seed, by number; means over them, with Student's intervals."""

    runs: tuple[int, ...]
    top1: Estimate
    ticket_bytes: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """What runs have in common and where they differ.

    Attributes:
        differing: names of settings that are not the same in all; of the forms exported see the points.
        groups: of points that can be compared.
        repeated: repetitions over seeds.
    """

    differing: tuple[str, ...]
    groups: tuple[Group, ...]
    repeated: tuple[Repeated, ...]


def compare(runs: Sequence[RunFacts]) -> Comparison:
    """Compares what is known of runs; those that are not verified have no points."""
    from recycle_pipeline.pipeline.report.tables import differing

    return Comparison(
        tuple(name for name in differing([run.settings for run in runs]) if name != "export"),
        tuple(_groups(runs)),
        tuple(_repeated(runs)),
    )


def _groups(runs: Sequence[RunFacts]) -> Iterator[Group]:
    by_images: dict[tuple[str, int], list[int]] = {}
    for index, run in enumerate(runs):
        if run.verified:
            by_images.setdefault((run.data_digest or run.data, run.verified.torch.n), []).append(index)
    for members in by_images.values():
        points = [point for index in members for point in _points(index + 1, runs[index])]
        note = _not_comparable([runs[index] for index in members], points)
        yield Group(runs[members[0]].data, tuple(_judged(points, timed=not note)), not note, note)


def _points(number: int, run: RunFacts) -> Iterator[Point]:
    assert run.verified is not None, "a run without points"
    latency, times = run.verified.latency, dict[str, Estimate]()
    if latency:
        times = {row.form: Estimate(row.median_ms, row.ratio.n, row.ratio.of) for row in latency.ratios}
        times |= {model.name: model.median for model in latency.models}
    for form in run.verified.forms:
        found = run.size(form.form)
        if found and not form.rejected:
            yield Point(number, form.form, form.top1, found.bytes, times.get(form.form))


def _not_comparable(runs: Sequence[RunFacts], points: Sequence[Point]) -> str:
    """Why latencies of these runs say nothing of one another; "" where they do."""
    if any(point.latency_ms is None for point in points):
        return "Some were not timed: the front is of accuracy and size alone."
    where = {
        (x.machine, x.provider, x.threads, x.batch)
        for run in runs
        if run.verified and (x := run.verified.latency)
    }
    if len(where) > 1:
        return (
            "They were timed on different machines, providers, threads or batches: the front is of accuracy "
            "and size alone."
        )
    return ""


def _judged(points: Sequence[Point], *, timed: bool) -> Iterator[Point]:
    costs = [
        (-p.top1.value, float(p.bytes), *([p.latency_ms.value] if timed and p.latency_ms else []))
        for p in points
    ]
    for point, better in zip(points, dominators(costs), strict=True):
        sure = better is not None and _apart(points[better].top1, point.top1)
        yield Point(point.run, point.form, point.top1, point.bytes, point.latency_ms, better, sure)


def _apart(one: Estimate, other: Estimate) -> bool:
    if one.interval is None or other.interval is None:
        return False
    return one.interval[0] > other.interval[1] or other.interval[0] > one.interval[1]


def _repeated(runs: Sequence[RunFacts]) -> Iterator[Repeated]:
    alike: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        rest = {name: value for name, value in run.settings.items() if name not in APART}
        if run.verified and run.search:
            alike.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(index)
    for members in alike.values():
        if len({runs[index].settings.get("seed") for index in members}) < len(members) or len(members) < 2:
            continue
        verified = [found for index in members if (found := runs[index].verified)]
        tickets = [float(row.bytes) for index in members if (row := runs[index].size(TICKET))]
        yield Repeated(
            tuple(index + 1 for index in members),
            mean([found.forms[0].top1.value for found in verified]),
            mean(tickets) if len(tickets) == len(members) else None,
        )
