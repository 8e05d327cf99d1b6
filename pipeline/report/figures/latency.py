"""Latencies: how the times of rounds are distributed, and ratios with their intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recycle_pipeline.pipeline.report.facts import Latency, Ratio, Timed
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.plot import INK, MUTED, A, B, C, drawn
from recycle_pipeline.pipeline.report.figures.rows import row_axis, rows_height
from recycle_pipeline.pipeline.report.words import FASTER, SLOWER, factor, full, milliseconds, speed, speed_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 58.0  # px of a model's histogram
BINS = 60
SHOWN = 98  # percentile up to which times are drawn: beyond lies what disturbed the machine
WIDE = 5.0  # from the fastest to the slowest model, above which the scale is logarithmic
COLOURS = {"model": A, "twin": B, "shapes": C}


def distributions(latency: Latency) -> Figure:
    """A histogram for each model, all on one scale, with the median and its interval below."""
    models, edges = latency.models, _edges(latency.models)

    def draw(axes: "Axes") -> None:
        for row, model in enumerate(models):
            colour = COLOURS[model.kind]
            counts, _ = np.histogram(model.samples, edges)
            heights = counts / max(counts.max(), 1) * 0.54
            axes.stairs(row - heights, edges, baseline=row, fill=True, color=colour, alpha=0.4)
            axes.stairs(row - heights, edges, baseline=row, color=colour, linewidth=1)
            below = row + 0.1
            axes.plot(model.median.value, below, "|", color=INK, markersize=6, markeredgewidth=1.5)
            if model.median.interval:
                axes.hlines(below, *model.median.interval, color=INK, linewidth=3)
            name, words = (0, row - 0.68), f"median {milliseconds(model.median.value)}"
            where: Any = {"xycoords": ("axes fraction", "data"), "va": "center"}
            axes.annotate(model.name, name, color=colour, **where)
            axes.annotate(words, (1, row - 0.68), ha="right", **where)
        axes.set_ylim(len(models) - 0.76, -0.8)
        _scale(axes, edges)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("ms a call", color=MUTED)
        axes.grid(axis="x")

    beyond = {m.name: sum(ms > edges[-1] for ms in m.samples) for m in models}
    over = "over sessions" if models[0].median.of == "sessions" else "between order statistics"
    return Figure(
        "latency",
        "Times of single calls",
        drawn("latency", ROW * len(models) + 40, draw),
        "Histograms. Median times: "
        + "; ".join(f"{model.name} {full(model.median, milliseconds)}" for model in models)
        + ".",
        f"Batch {latency.batch}, {_threads(latency.threads)}, provider {latency.provider}, "
        f"{latency.machine}; models in random order within each round; of other forms than onnx, each was "
        f"timed beside onnx in seconds of its own. Tick: median; bar under it: its 95% interval {over}. "
        "Not drawn, above the scale: "
        + ", ".join(f"{count:,} calls of {name}" for name, count in beyond.items())
        + ".",
    )


def _edges(models: Sequence[Timed]) -> npt.NDArray[np.float64]:
    """(BINS + 1,) ms; evenly apart, or by factors where models differ much."""
    medians = [model.median.value for model in models]
    high = max(float(np.percentile(model.samples, SHOWN)) for model in models)
    low = min(min(model.samples) for model in models)
    if max(medians) / min(medians) > WIDE:
        return np.geomspace(low / 1.1, high * 1.1, BINS + 1)
    pad = (high - low) * 0.04 or high * 0.1
    return np.linspace(low - pad, high + pad, BINS + 1)


def _scale(axes: "Axes", edges: npt.NDArray[np.float64]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    if not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2]):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
    axes.set_xlim(edges[0], edges[-1])


def ratios_chart(ratios: Sequence[Ratio]) -> Figure | None:
    """A row for each ratio: the point, its interval, and the line at 1; None without ratios."""
    if not ratios:
        return None
    names = [f"{row.form} / {row.baseline.partition(',')[0]}" for row in ratios]

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        ends = [end for row in ratios for end in (row.ratio.interval or (row.ratio.value,) * 2)]
        low, high = min(*ends, 0.9), max(*ends, 1.1)
        for place, row in enumerate(ratios):
            colour = {FASTER: A, SLOWER: B}.get(speed(row.ratio), MUTED)
            if row.ratio.interval:
                axes.hlines(place, *row.ratio.interval, color=colour, linewidth=3)
            axes.plot(row.ratio.value, place, "o", color=colour, markersize=5)
            axes.annotate(
                factor(row.ratio.value), (1.02, place), xycoords=("axes fraction", "data"), va="center"
            )
        axes.axvline(1, color=INK, linewidth=1)
        row_axis(axes, names)
        if high / low > 4:
            axes.set_xscale("log")
            ticks = [
                tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 1.3 <= tick <= high * 1.3
            ]
            axes.set_xticks(ticks)
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.minorticks_off()
            axes.set_xlim(low / 1.2, high * 1.2)
        else:
            axes.set_xlim(low - 0.05, high + 0.05)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("ratio of median latencies", color=MUTED)

    listed = "; ".join(
        f"{row.form} over {row.baseline}: {full(row.ratio, factor)}, {speed_by(row.ratio)}" for row in ratios
    )
    return Figure(
        "ratios",
        "Latency beside another model",
        drawn("ratios", rows_height(len(ratios)) + 6, draw),
        f"Dot chart. {listed}.",
        "Each pair was timed in the same rounds; below 1 the first takes less time. Bars: 95% interval "
        "over pairs of sessions that were opened in turn. It is of one measurement in one process: another "
        "process, or another hour, may differ by more.",
    )


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"
