"""Density of each layer, with the spread over its filters."""

from typing import TYPE_CHECKING

from recycle_pipeline.pipeline.report.facts import Network
from recycle_pipeline.pipeline.report.figures.figure import Figure, Table
from recycle_pipeline.pipeline.report.figures.plot import INK, MUTED, A, drawn
from recycle_pipeline.pipeline.report.figures.rows import row_axis, rows_height
from recycle_pipeline.pipeline.report.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADE = 10.0  # from the thinnest layer to the densest, above which the scale is logarithmic


def density_by_layer(network: Network) -> Figure:
    """A dot for each layer, a line from the 5th to the 95th percentile of its filters."""
    layers = network.layers
    densities = [layer.density for layer in layers]
    some = [density for density in densities if density > 0] or [1.0]
    logarithmic = max(some) / min(some) > DECADE
    floor = min(some) / 4 if logarithmic else 0.0

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator

        places = range(len(layers))
        low = [max(layer.filter_low, floor) for layer in layers]
        high = [max(layer.filter_high, floor) for layer in layers]
        axes.hlines(places, low, high, color=A, linewidth=4, alpha=0.35)
        axes.plot([max(density, floor) for density in densities], places, "o", color=A, markersize=4.5)
        axes.axvline(network.density, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        row_axis(axes, [layer.name for layer in layers])
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(10))
            axes.minorticks_off()
        else:
            axes.set_xlim(0, min(1.02, max(*high, *densities, 1e-9) * 1.08))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g}%"))
        axes.set_xlabel("kept", color=MUTED)

    thin, dense = min(layers, key=lambda x: x.density), max(layers, key=lambda x: x.density)
    empty = sum(layer.empty_filters for layer in layers)
    of = sum(layer.filters for layer in layers)
    return Figure(
        "density",
        "Density of each layer",
        drawn("density", rows_height(len(layers)), draw),
        f"Dot chart of {len(layers)} layers. {network.kept:,} of {network.weights:,} weights are kept "
        f"({percent(network.density)}). The thinnest layer is {thin.name} with {percent(thin.density)}, the "
        f"densest {dense.name} with {percent(dense.density)}. {empty:,} of {of:,} filters are empty.",
        "Dots: fraction of a layer's weights that the mask keeps. Bars: its filters, from the 5th to the "
        f"95th percentile. Dashed: all layers together, {percent(network.density)}."
        f"{' Logarithmic scale.' if logarithmic else ''} Counted in the mask.",
        Table(
            ("layer", "shape", "kept", "density", "empty filters", "moved"),
            [
                (
                    layer.name,
                    " x ".join(map(str, layer.shape)),
                    f"{layer.kept:,} of {layer.weights:,}",
                    percent(layer.density),
                    f"{layer.empty_filters:,} of {layer.filters:,}",
                    f"{layer.moved:,}",
                )
                for layer in layers
            ],
        ),
    )
