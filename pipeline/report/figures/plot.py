"""Matplotlib's SVG made fit for a page: colours are the page's variables, text is text, ids are unique.

Matplotlib is drawn with stand-in colours that nobody else uses; each then becomes a CSS variable, so that
the same picture is legible in light, in dark and on paper.
"""

import io
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-ins, and the variables of templates/style.css that take their place.
INK, MUTED, LINE, PAPER = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04"
A, B, C, D = "#0a0a05", "#0a0a06", "#0a0a07", "#0a0a08"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper", A: "a", B: "b", C: "c", D: "d"}
SERIES = (A, B, C, D)

WIDTH, FONT = 360.0, 11.0  # px; as wide as a phone, so that text keeps its size there
POINTS = 72.0  # of an inch; the SVG has a px for each

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "recycle-pipeline",  # the same picture has the same ids
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.unicode_minus": False,
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "path.simplify_threshold": 0.3,  # px; half of what an eye sees
}


def drawn(name: str, height: float, draw: "Callable[[Axes], None]") -> str:
    """An <svg> element of one pair of axes, `WIDTH` x `height` px, ready for a page.

    Args:
        name: prefix of its ids.
        height: px.
        draw: draws into the axes.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a font cache being built is nobody's business
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / POINTS, height / POINTS), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return cleaned(content.getvalue(), name)


def cleaned(svg: str, name: str) -> str:
    """Matplotlib's SVG without what a page does not need, in the page's colours, with ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", r'<svg class="plot" viewBox="\1">', svg, count=1)
    svg = re.sub(r" ?font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r"\bfont: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # before matplotlib 3.10
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", svg)
    svg = re.sub(r'(?<==")[^"]*\d\.\d\d\d[^"]*', _hundredths, svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.strip()


def _hundredths(attribute: re.Match[str]) -> str:
    """Places in hundredths of a px."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def spread(positions: list[float], least: float) -> list[float]:
    """The same positions, moved apart so that neighbours are at least that far from one another.

    The order stays; groups that were too near are centred on their mean.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[tuple[float, list[int]]] = []
    for index in order:
        centre, members = positions[index], [index]
        while groups and centre - groups[-1][0] < least * (len(members) + len(groups[-1][1])) / 2:
            before, others = groups.pop()
            centre = (before * len(others) + centre * len(members)) / (len(others) + len(members))
            members = [*others, *members]
        groups.append((centre, members))
    moved = list(positions)
    for centre, members in groups:
        for place, index in enumerate(members):
            moved[index] = centre + least * (place - (len(members) - 1) / 2)
    return moved


def percent_axis(axis: Any, places: int = 0) -> None:
    """Ticks of fractions as percentages."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    # No steps of 2.5 %, which a label without a decimal would round.
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=places))


def axis_size(value: float) -> str:
    """Bytes at a tick of an axis."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:g} {unit}"
    return f"{value:g} B"


def shortened(name: str, most: int = 24) -> str:
    """A layer's name with its beginning cut off, where it is long."""
    return name if len(name) <= most else f"\u2026{name[1 - most :]}"
