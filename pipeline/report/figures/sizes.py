"""Bytes of every form, on one logarithmic scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recycle_pipeline.pipeline.report.facts import Size
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.plot import INK, LINE, MUTED, A, C, D, axis_size, drawn
from recycle_pipeline.pipeline.report.figures.rows import row_axis, rows_height
from recycle_pipeline.pipeline.wording import size as in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"dense": INK, "form": A, "rejected": MUTED, "ticket": C, "bound": D}
MARKERS = {"dense": "s", "form": "o", "rejected": "x", "ticket": "D", "bound": "|"}


def sizes_chart(sizes: Sequence[Size]) -> Figure | None:
    """A row for each form, from large to small; None for fewer than two."""
    if len(sizes) < 2:
        return None
    rows = sorted(sizes, key=lambda size: -size.bytes)
    dense = next((size for size in rows if size.kind == "dense"), None)

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator

        least, most = max(rows[-1].bytes, 1), max(rows[0].bytes, 2)
        for place, size in enumerate(rows):
            count, colour = max(size.bytes, 1), COLOURS[size.kind]
            axes.hlines(place, least / 3, count, color=LINE, linewidth=1)
            style = {"markersize": 11, "markeredgewidth": 2} if size.kind == "bound" else {"markersize": 5.5}
            axes.plot(count, place, MARKERS[size.kind], color=colour, **style)
            axes.annotate(
                in_words(size.bytes), (count, place), (8, 0), textcoords="offset points", va="center"
            )
        row_axis(axes, [size.name for size in rows])
        axes.set_xscale("log")
        axes.set_xlim(least / 3, most * (most / least) ** 0.35)
        axes.xaxis.set_major_locator(LogLocator(10))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: axis_size(value)))
        axes.set_xlabel("bytes, logarithmic", color=MUTED)

    listed = "; ".join(f"{size.name} {in_words(size.bytes)}{_times(size, dense)}" for size in rows)
    return Figure(
        "sizes",
        "Bytes of every form",
        drawn("sizes", rows_height(len(rows)) + 6, draw),
        f"Dot chart on a logarithmic scale, from large to small: {listed}.",
        "Counted bytes of the files, beside all masked weights as float32, and the entropy of mask and "
        "moved signs as if their bits were independent. A ticket may lie below that bound: its coder also "
        "knows what the seed says of each weight.",
    )


def _times(size: Size, dense: Size | None) -> str:
    if dense is None or size is dense or not size.bytes:
        return ""
    return f", {dense.bytes / size.bytes:,.1f} times smaller than dense weights"
