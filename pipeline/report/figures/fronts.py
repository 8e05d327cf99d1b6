"""Several runs in one picture: pairs of accuracy, size and latency, with the Pareto front; curves."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.report.comparison import Group, Point
from recycle_pipeline.pipeline.report.facts import RunFacts, Search
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.plot import (
    FONT,
    INK,
    MUTED,
    SERIES,
    axis_size,
    drawn,
    percent_axis,
    spread,
)
from recycle_pipeline.pipeline.report.pareto import dominators
from recycle_pipeline.pipeline.report.words import basis, full, milliseconds, percent
from recycle_pipeline.pipeline.wording import size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT, LEGEND = 250.0, 15.0  # px; of a line of the legend
MARKERS = {
    "onnx": "o",
    "onnx-compact": "s",
    "onnx-seed": "D",
    "onnx-int8": "^",
    "onnx-kernel": "d",
    "onnx-kernel-fp32": "p",
    "onnx-compact-int8": "v",
    "onnx-fp16": "P",
    "onnx-sparse": "X",
    "onnx-int2": "*",
}
DASHES: Any = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
Side = Callable[[Point], float]


def fronts(group: Group, prefix: str) -> list[Figure]:
    """Accuracy against size; and where all were timed alike, accuracy and size against latency."""
    found = [_chart(group, f"{prefix}-size", "Accuracy against size", _bytes, _top1)]
    if group.timed:
        found.append(_chart(group, f"{prefix}-latency", "Accuracy against latency", _ms, _top1))
        found.append(_chart(group, f"{prefix}-both", "Size against latency", _ms, _bytes))
    return found


def _bytes(point: Point) -> float:
    return float(point.bytes)


def _ms(point: Point) -> float:
    return point.latency_ms.value if point.latency_ms else 0.0


def _top1(point: Point) -> float:
    return point.top1.value


def _chart(group: Group, name: str, title: str, x: Side, y: Side) -> Figure:
    sign = -1.0 if y is _top1 else 1.0
    better = dominators([(sign * y(point), x(point)) for point in group.points])
    front = sorted((p for p, by in zip(group.points, better, strict=True) if by is None), key=x)
    forms = list(dict.fromkeys(point.form for point in group.points))
    lines = -(-len(forms) // 3)

    def draw(axes: "Axes") -> None:
        axes.plot(list(map(x, front)), list(map(y, front)), color=MUTED, linewidth=1, drawstyle="steps-post")
        for point in group.points:
            _mark(axes, point, x(point), y(point), on_front=point in front)
        if y is _top1:
            _intervals(axes, front, x)
        for point in _named(group.points, front):
            axes.annotate(str(point.run), (x(point), y(point)), (5, 4), textcoords="offset points", color=INK)
        for axis, side in ((axes.xaxis, x), (axes.yaxis, y)):
            if side is not _top1:
                (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            _axis(axis, side)
        for form in forms:
            axes.plot([], [], MARKERS.get(form, "o"), color=MUTED, markersize=5, label=form)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.16, 1.0),
            ncols=3,
            frameon=False,
            fontsize=FONT - 1.5,
            handletextpad=0.1,
            columnspacing=0.9,
            borderpad=0.2,
        )
        axes.grid()

    named = "; ".join(f"run {p.run} as {p.form}: {_said(p, x)}, {_said(p, y)}" for p in front)
    return Figure(
        name,
        title,
        drawn(name, HEIGHT + LEGEND * lines, draw),
        f"Scatter chart of {len(group.points)} points, a form of a run each. On the front, where no other is "
        f"better in both: {named}.",
        "Numbers are runs; filled points and the line are the front of these two. "
        + ("Bars: 95% intervals of accuracy, on the front. " if y is _top1 else "")
        + ("Latencies of one measurement each, in a process and at an hour of its own." if x is _ms else ""),
    )


def _said(point: Point, side: Side) -> str:
    if side is _top1:
        return f"{percent(point.top1.value)} ({basis(point.top1, percent)})"
    return (
        size(point.bytes)
        if side is _bytes
        else full(point.latency_ms, milliseconds)
        if point.latency_ms
        else ""
    )


def _mark(axes: "Axes", point: Point, x: float, y: float, *, on_front: bool) -> None:
    colour = SERIES[(point.run - 1) % len(SERIES)]
    marker = MARKERS.get(point.form, "o")
    axes.plot(x, y, marker, color=colour, markersize=6, fillstyle="full" if on_front else "none")


def _intervals(axes: "Axes", front: Sequence[Point], x: Side) -> None:
    for point in front:
        if point.top1.interval:
            colour = SERIES[(point.run - 1) % len(SERIES)]
            axes.vlines(x(point), *point.top1.interval, color=colour, linewidth=1, alpha=0.6)


def _named(points: Sequence[Point], front: Sequence[Point]) -> list[Point]:
    """One of each run on the front, and each run's plain form."""
    first = {point.run: point for point in reversed(front)}
    return [*first.values(), *(p for p in points if p.form == DENSE and p not in front)]


def _axis(axis: Any, side: Side) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if side is _top1:
        percent_axis(axis, 1)
        axis.set_label_text("top-1 in ONNX Runtime")
        return
    low, high = axis.get_view_interval()
    near = high / low < (30 if axis.axis_name == "x" and side is _bytes else 300)
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if near else (1,)))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: axis_size(value) if side is _bytes else f"{value:g}")
    )
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text("bytes of the file" if side is _bytes else "median ms a call")


def _near(searched: list[tuple[int, Search]], epochs: float) -> list[list[tuple[int, Search]]]:
    """The searches in groups, each of which ends no more than so many epochs after the one before."""
    groups: list[list[tuple[int, Search]]] = []
    for pair in sorted(searched, key=lambda pair: pair[1].epochs[-1].epoch):
        if groups and pair[1].epochs[-1].epoch - groups[-1][-1][1].epochs[-1].epoch <= epochs:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return groups


def curves(runs: Sequence[RunFacts]) -> Figure | None:
    """Accuracy by epoch of every run, its number at the end of its line; None for fewer than two."""
    searched = [(number, run.search) for number, run in enumerate(runs, 1) if run.search]
    if len(searched) < 2:
        return None

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        for number, search in searched:
            dashes = DASHES[(number - 1) // len(SERIES) % len(DASHES)]
            axes.plot(
                [epoch.epoch for epoch in search.epochs],
                [epoch.accuracy for epoch in search.epochs],
                color=SERIES[(number - 1) % len(SERIES)],
                linestyle=dashes,
                linewidth=1.4,
                marker="o" if len(search.epochs) == 1 else None,
            )
        low, high = axes.get_ylim()
        most = max(search.epochs[-1].epoch for _, search in searched)
        for ends in _near(searched, 0.06 * most):
            heights = [search.epochs[-1].accuracy for _, search in ends]
            places = spread(heights, (high - low) * FONT * 1.4 / HEIGHT)
            for (number, search), place in zip(ends, places, strict=True):
                at = (search.epochs[-1].epoch, place)
                axes.annotate(
                    str(number), at, (6, 0), textcoords="offset points", va="center", annotation_clip=False
                )
        axes.set_xlim(0.5, most + max(0.08 * most, 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel("epoch", color=MUTED)
        percent_axis(axes.yaxis)
        axes.grid(axis="y")

    said = "; ".join(
        f"run {number} ends at {percent(search.epochs[-1].accuracy)} on {search.measured_on} images after "
        f"{len(search.epochs)} epochs"
        for number, search in searched
    )
    return Figure(
        "curves",
        "Accuracy by epoch",
        drawn("curves", HEIGHT, draw),
        f"Line chart of {len(searched)} runs: {said}.",
        "Top-1 after each epoch of the search, in torch. Numbers are runs; each line is a single run.",
    )
