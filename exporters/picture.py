"""A picture of a subnetwork: how dense its layers are, and the filters of each."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recycle_pipeline.exporters.atomic import replacing
from recycle_pipeline.exporters.density import Densities, Scale, filter_densities, scale_for
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

# Viridis by its anchors (van der Walt and Smith 2015), which colour-blind people and printers tell apart.
ANCHORS = np.array(
    [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)]
)
SHADES = 121  # of the scale, its anchors among them; 128 greys and two more fit one palette
EMPTY, INK, GREY, TRACK, BLUE = (213, 94, 0), (34, 34, 34), (105, 105, 105), (228, 228, 228), (0, 114, 178)

# px
MARGIN, GAP, ROW, STRIP_HEIGHT = 32, 24, 30, 24
NAME, FILTERS, STRIP, BAR, NUMBER = 300, 64, 720, 180, 190
WIDTH = 2 * MARGIN + NAME + FILTERS + STRIP + BAR + NUMBER + 3 * GAP
STRIP_AT = MARGIN + NAME + FILTERS + GAP
BAR_AT = STRIP_AT + STRIP + GAP
LEGEND_AT, LEGEND_WIDTH, LEGEND_HEIGHT = 112, 480, 20
HEADINGS_AT, FIRST_ROW = 200, 222
MAX_LAYERS = 1000

TITLE, TEXT = ImageFont.load_default(26), ImageFont.load_default(18)


def write_picture(subnetwork: Subnetwork, path: Path) -> None:
    """Draws a row for each layer and writes it as PNG, atomically.

    Raises:
        UsageFault: there are too many layers.
        OSError: the file cannot be written.
    """
    image = indexed(draw(subnetwork))
    with replacing(path) as temporary:
        image.save(temporary, "PNG", optimize=True)


def draw(subnetwork: Subnetwork) -> Image.Image:
    """The picture, RGB. Raises UsageFault where there are more than `MAX_LAYERS` layers."""
    tensors = subnetwork.tensors
    if len(tensors) > MAX_LAYERS:
        raise UsageFault(f"--picture draws at most {MAX_LAYERS} layers, the ticket has {len(tensors)}")
    filters = [filter_densities(tensor.mask) for tensor in tensors]
    scale = scale_for(filters)
    widest = scale_for(np.array([t.kept / t.size]) for t in tensors).high
    image = Image.new("RGB", (WIDTH, FIRST_ROW + ROW * len(tensors) + MARGIN), "white")
    pen = ImageDraw.Draw(image)
    _title(pen, subnetwork)
    _legend(image, pen, scale, any((f == 0).any() for f in filters))
    _headings(pen, widest)
    for row, (tensor, densities) in enumerate(zip(tensors, filters, strict=True)):
        _row(image, pen, FIRST_ROW + ROW * row, tensor, densities, scale, widest)
    return image


def indexed(image: Image.Image) -> Image.Image:
    """The same with a palette of at most 256 colours, a third of the file; of grey the last bit is lost."""
    pixels = np.asarray(image)
    grey = (pixels == pixels[..., :1]).all(2, keepdims=True)
    codes = np.where(grey, pixels | 1, pixels).astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    found, places = np.unique(codes, return_inverse=True)
    small = Image.fromarray(places.reshape(codes.shape).astype(np.uint8))
    small.putpalette(bytes(np.stack([found >> 16, found >> 8 & 255, found & 255], 1).astype(np.uint8)))
    return small


def colours(positions: Densities) -> NDArray[np.uint8]:
    """Positions on the scale, (n,) from 0 to 1, as (n, 3) RGB, one of `SHADES`."""
    at, rounded = np.linspace(0, 1, len(ANCHORS)), np.round(positions * (SHADES - 1)) / (SHADES - 1)
    channels = [np.interp(rounded, at, ANCHORS[:, channel]) for channel in range(3)]
    return np.stack(channels, 1).round().astype(np.uint8)


def strip(densities: Densities, scale: Scale, width: int) -> NDArray[np.uint8]:
    """A row of pixels, (width, 3), over filters from the densest down; of more filters than pixels, some."""
    shown = densities[np.arange(width) * len(densities) // width]
    return np.where(shown[:, None] > 0, colours(scale.position(shown)), np.array(EMPTY, np.uint8))


def _title(pen: ImageDraw.ImageDraw, subnetwork: Subnetwork) -> None:
    what = f"{subnetwork.arch}{subnetwork.options.described()}, {subnetwork.kind}, seed {subnetwork.seed}"
    kept = (
        f"{subnetwork.kept:,} of {subnetwork.size:,} weights kept ({subnetwork.kept / subnetwork.size:.2%})"
    )
    pen.text((MARGIN, MARGIN), _cut(f"{what}: {kept}", TITLE, WIDTH - 2 * MARGIN), INK, TITLE)


def _legend(image: Image.Image, pen: ImageDraw.ImageDraw, scale: Scale, some_empty: bool) -> None:
    pen.text((STRIP_AT - GAP, LEGEND_AT + LEGEND_HEIGHT / 2), "fraction kept of a filter", INK, TEXT, "rm")
    ramp = colours(np.linspace(0, 1, LEGEND_WIDTH))
    _paste(image, STRIP_AT, LEGEND_AT, ramp, LEGEND_HEIGHT)
    taken: list[tuple[float, float]] = []
    for value in scale.ticks():
        x = STRIP_AT + float(scale.position(np.array([value]))[0]) * (LEGEND_WIDTH - 1)
        label = f"{100 * value:g}%"
        half = TEXT.getlength(label) / 2 + 6
        if all(x + half < low or x - half > high for low, high in taken):
            taken.append((x - half, x + half))
            pen.line((x, LEGEND_AT + LEGEND_HEIGHT, x, LEGEND_AT + LEGEND_HEIGHT + 5), INK)
            pen.text((x, LEGEND_AT + LEGEND_HEIGHT + 8), label, INK, TEXT, "ma")
    if some_empty:
        x = STRIP_AT + LEGEND_WIDTH + 3 * GAP
        pen.rectangle((x, LEGEND_AT, x + LEGEND_HEIGHT, LEGEND_AT + LEGEND_HEIGHT), EMPTY)
        words = "empty: keeps nothing"
        pen.text((x + LEGEND_HEIGHT + 8, LEGEND_AT + LEGEND_HEIGHT / 2), words, INK, TEXT, "lm")


def _headings(pen: ImageDraw.ImageDraw, widest: float) -> None:
    for x, text, anchor in (
        (MARGIN, "layer", "ls"),
        (MARGIN + NAME + FILTERS, "filters", "rs"),
        (STRIP_AT, "filters of the layer, from the densest to the sparsest", "ls"),
        (BAR_AT, f"kept of the layer; bars end at {100 * widest:g}%", "ls"),
    ):
        pen.text((x, HEADINGS_AT), text, GREY, TEXT, anchor)


def _row(
    image: Image.Image,
    pen: ImageDraw.ImageDraw,
    top: int,
    tensor: MaskedTensor,
    densities: Densities,
    scale: Scale,
    widest: float,
) -> None:
    middle, bottom = top + STRIP_HEIGHT / 2, top + STRIP_HEIGHT - 1
    pen.text((MARGIN, middle), _cut(tensor.name, TEXT, NAME), INK, TEXT, "lm")
    pen.text((MARGIN + NAME + FILTERS, middle), f"{len(densities):,}", INK, TEXT, "rm")
    _paste(image, STRIP_AT, top, strip(densities, scale, STRIP), STRIP_HEIGHT)
    density = tensor.kept / tensor.size
    pen.rectangle((BAR_AT, top, BAR_AT + BAR - 1, bottom), TRACK)
    if length := round(BAR * density / widest):
        pen.rectangle((BAR_AT, top, BAR_AT + length - 1, bottom), BLUE)
    empty = int(np.count_nonzero(densities == 0))
    words = f"{density:.2%}" + (f", {empty:,} empty" if empty else "")
    pen.text((BAR_AT + BAR + 8, middle), words, INK, TEXT, "lm")


def _paste(image: Image.Image, x: int, y: int, pixels: NDArray[np.uint8], height: int) -> None:
    image.paste(Image.fromarray(np.repeat(pixels[None], height, 0)), (x, y))


def _cut(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width: float) -> str:
    """The text if it fits, or its beginning and end; what the font lacks is a question mark."""
    whole = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    shown, half = whole, len(whole) // 2
    while font.getlength(shown) > width and half:
        half -= 1
        shown = f"{whole[:half]}...{whole[len(whole) - half :]}"
    return shown
