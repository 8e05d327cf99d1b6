"""What the pictures of docs/results.md share: colours that colour-blind people tell apart, and their records.

Okabe and Ito's colours (Color Universal Design, 2008).
"""

from pathlib import Path

from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#999999", "#333333"


def newest(records: Path, kind: str) -> str | None:
    """The text of the newest record whose name holds this, if there is one."""
    found = sorted(records.glob(f"*{kind}*.json*"))
    return found[-1].read_text("utf-8") if found else None


def tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
