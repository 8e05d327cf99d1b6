"""Accuracy of each class, with its interval."""

from typing import TYPE_CHECKING

from recycle_pipeline.pipeline.report.facts import Verified, named_classes
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.plot import INK, MUTED, A, drawn, percent_axis
from recycle_pipeline.pipeline.report.figures.rows import MOST, row_axis, rows_height
from recycle_pipeline.pipeline.report.words import full, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def classes_chart(verified: Verified) -> Figure | None:
    """A row for each class, the worst on top, of very many the worst; None where they are not known."""
    known = [(name, found) for name, found in named_classes(verified) if found]
    if not known:
        return None
    rows = sorted(known, key=lambda row: row[1].value)[:MOST]
    overall = verified.forms[0].top1

    def draw(axes: "Axes") -> None:
        for place, (_, found) in enumerate(rows):
            if found.interval:
                axes.hlines(place, *found.interval, color=A, linewidth=4, alpha=0.35)
            axes.plot(found.value, place, "o", color=A, markersize=4.5, clip_on=False)
        axes.axvline(overall.value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        row_axis(axes, [name for name, _ in rows])
        low = min(found.interval[0] if found.interval else found.value for _, found in rows)
        axes.set_xlim(max(0.0, low - 0.03), 1.0)
        percent_axis(axes.xaxis)
        axes.set_xlabel("right, of the images of a class", color=MUTED)

    name, worst = rows[0]
    some = f"The {len(rows)} worst of {len(known)} classes" if len(rows) < len(known) else "All classes"
    return Figure(
        "classes",
        "Accuracy of each class",
        drawn("classes", rows_height(len(rows)) + 6, draw),
        f"Dot chart of {len(rows)} classes, the worst first. The worst is {name}: {full(worst, percent)}. "
        f"Over all classes: {full(overall, percent)}. The table below has each.",
        f"{some}, the worst on top, of the form onnx. Bars: Wilson's 95% interval over the images of that "
        "class alone; of many classes, one such interval in twenty misses by chance. "
        f"Dashed: all images, {percent(overall.value)}.",
    )
