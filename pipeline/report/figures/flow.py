"""Recycling: how many weights moved and when, and where moved ones were kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.report.facts import Network, Search
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.plot import LINE, MUTED, C, drawn
from recycle_pipeline.pipeline.report.figures.rows import row_axis, rows_height
from recycle_pipeline.pipeline.report.words import percent
from recycle_pipeline.pipeline.wording import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 190.0


def flow_by_epoch(search: Search, settings: Mapping[str, Any]) -> Figure | None:
    """Positions that reuse wrote after each epoch, and values it changed; None where it wrote none."""
    events = [epoch for epoch in search.epochs if epoch.written]
    if not events:
        return None
    written, changed = (sum(getattr(e, name) for e in events) for name in ("written", "changed"))

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        where = [epoch.epoch for epoch in events]
        all_, values = ([getattr(epoch, name) for epoch in events] for name in ("written", "changed"))
        axes.bar(where, all_, 0.8, color=LINE, edgecolor=MUTED, label="written")
        axes.bar(where, values, 0.8, color=C, label="value changed")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlim(0.3, max(search.asked, search.epochs[-1].epoch) + 0.7)
        axes.set_xlabel("epoch", color=MUTED)
        axes.grid(axis="y")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0, handlelength=1
        )

    numbers = ", ".join(f"epoch {e.epoch}: {e.written:,} written, {e.changed:,} changed" for e in events[:12])
    rest = f", and {len(events) - 12} more" if len(events) > 12 else ""
    return Figure(
        "flow",
        "Weights reused, by epoch",
        drawn("flow", HEIGHT, draw),
        f"Bar chart. {len(events)} reuse events wrote {written:,} positions in all and changed {changed:,} "
        f"values. After {numbers}{rest}.",
        f"{_method(settings)} In {len(events)} events {written:,} positions were written and {changed:,} "
        "values changed; a position may be written several times. Counted, in a single run.",
    )


def _method(settings: Mapping[str, Any]) -> str:
    reuse, rate = settings.get("reuse"), settings.get("reuse_rate")
    words = {
        "recycle": "Recycling copies weights of the highest scores over those of the lowest, layer by layer.",
        "rerandomize": "Pruned weights are drawn anew.",
        "hybrid": "Pruned weights are drawn anew, then high-scored weights are copied over low-scored ones.",
    }
    said = words.get(str(reuse), "Weights were reused.")
    return f"{said} The rate is {rate:g}." if isinstance(rate, int | float) else said


def moved_by_layer(network: Network) -> Figure | None:
    """The share of kept weights that moved, of layers where any did; None where none did."""
    layers = [layer for layer in network.layers if layer.moved]
    if not layers:
        return None
    shares = [layer.moved / layer.kept for layer in layers]

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        places = range(len(layers))
        axes.hlines(places, 0, shares, color=C, linewidth=1.4)
        axes.plot(shares, places, "o", color=C, markersize=4.5, clip_on=False)
        row_axis(axes, [layer.name for layer in layers])
        axes.set_xlim(0, max(shares) * 1.25)
        for place, layer in enumerate(layers):
            at = (shares[place], place)
            axes.annotate(short(layer.moved), at, (7, 0), textcoords="offset points", va="center")
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g}%"))
        axes.set_xlabel("of the kept weights, those that moved", color=MUTED)

    least = min(range(len(layers)), key=shares.__getitem__)
    most = max(range(len(layers)), key=shares.__getitem__)
    low, high = (f"{percent(shares[index])} in {layers[index].name}" for index in (least, most))
    what = "sign" if network.kind == "binary" else "value"
    counted = f"{network.moved:,} of {network.kept:,} ({percent(network.moved / network.kept)})"
    return Figure(
        "moved",
        "Where moved weights were kept",
        drawn("moved", rows_height(len(layers)), draw),
        f"Dot chart of the {len(layers)} of {len(network.layers)} layers where any moved. Of kept weights "
        f"{counted} hold a {what} that is not the seed's at their place: from {low} to {high}.",
        f"Of the weights that the mask keeps, those whose {what} came from elsewhere: {counted}. "
        f"{len(network.layers) - len(layers)} layers hold none. Counted in the ticket.",
    )
