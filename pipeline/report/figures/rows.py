"""Charts with a row for each layer."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recycle_pipeline.pipeline.report.figures.plot import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW, AROUND = 16.0, 46.0  # px
MOST = 44  # rows that are named and given a full height


def rows_height(count: int) -> float:
    """Of the whole picture, px."""
    return AROUND + ROW * min(max(count, 2), MOST)


def row_axis(axes: "Axes", names: Sequence[str]) -> None:
    """Names the rows, the first on top; of very many every second or third."""
    step = math.ceil(len(names) / MOST)
    axes.set_yticks(range(0, len(names), step), [shortened(name) for name in names[::step]])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
