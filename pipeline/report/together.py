"""The tables of a comparison, as cells of text."""

from collections.abc import Sequence

from recycle_pipeline.pipeline.report.comparison import Comparison, Group
from recycle_pipeline.pipeline.report.estimate import Estimate
from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.report.sizes import TICKET
from recycle_pipeline.pipeline.report.tables import NONE, Rows, interval, setting
from recycle_pipeline.pipeline.report.words import digits, factor, full, percent, speed_by
from recycle_pipeline.pipeline.wording import size

RUN_HEADINGS = (
    *("run", "verdict", "top-1", "95% interval", "images", "kept", "ticket"),
    "latency beside its dense twin",
)
POINT_HEADINGS = ("run and form", "top-1", "95% interval", "bytes", "median ms", "on the front")
ON_FRONT = "yes"
REPEATED_HEADINGS = ("runs", "mean top-1", "95% interval over seeds", "seeds", "mean ticket")


def run_rows(runs: Sequence[RunFacts]) -> Rows:
    """A line for each run."""
    return [_run(number, run) for number, run in enumerate(runs, 1)]


def _run(number: int, run: RunFacts) -> tuple[str, ...]:
    verified, ticket = run.verified, run.size(TICKET)
    accuracy = verified.forms[0].top1 if verified else run.search.accuracy if run.search else None
    first = verified.latency.ratios[0] if verified and verified.latency and verified.latency.ratios else None
    where = "" if verified or not accuracy else " (torch)"
    return (
        f"{number}: {run.name}",
        run.verdict.outcome,
        f"{percent(accuracy.value)}{where}" if accuracy else NONE,
        interval(accuracy, percent) if accuracy else NONE,
        f"{accuracy.n:,}" if accuracy else NONE,
        percent(run.network.density) if run.network else NONE,
        size(ticket.bytes) if ticket else NONE,
        f"{factor(first.ratio.value)} ({interval(first.ratio, factor)}, n = {first.ratio.n:,} "
        f"{first.ratio.of}), {speed_by(first.ratio)}"
        if first
        else NONE,
    )


def point_rows(group: Group, names: Sequence[str]) -> Rows:
    """A line for each form of each run.

    Args:
        group: of points.
        names: of all runs, in order.
    """
    rows = []
    for point in group.points:
        if point.better is None:
            said = ON_FRONT
        else:
            other = group.points[point.better]
            sure = "" if point.sure else "; accuracy intervals overlap"
            said = f"no: {other.form} of {other.run} is better{sure}"
        ms = NONE if point.latency_ms is None else _latency(point.latency_ms)
        name = f"{point.run}: {names[point.run - 1]}, {point.form}"
        rows.append(
            (name, percent(point.top1.value), interval(point.top1, percent), size(point.bytes), ms, said)
        )
    return rows


def _latency(ms: Estimate) -> str:
    limits = f"{interval(ms, digits)}, " if ms.interval else ""
    return f"{digits(ms.value)} ({limits}n = {ms.n:,} {ms.of})"


def repeated_rows(comparison: Comparison) -> Rows:
    """A line for each set of runs that differ by their seed."""
    return [
        (
            ", ".join(map(str, found.runs)),
            percent(found.top1.value),
            interval(found.top1, percent),
            f"n = {found.top1.n}",
            full(found.ticket_bytes, lambda count: size(round(count))) if found.ticket_bytes else NONE,
        )
        for found in comparison.repeated
    ]


def setting_rows(runs: Sequence[RunFacts], comparison: Comparison) -> Rows:
    """A line for each setting that is not the same in all runs."""
    return [(name, *(setting(run.settings.get(name, NONE)) for run in runs)) for name in comparison.differing]
