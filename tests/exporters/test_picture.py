"""The picture of densities: what its pixels say, and that it can be drawn of whatever a ticket may hold."""

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from recycle_pipeline.exporters import picture
from recycle_pipeline.exporters.density import Scale
from recycle_pipeline.exporters.picture import colours, draw, strip, write_picture
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork


def network(*masks, names=None):
    names = names or [f"layer{place}" for place in range(len(masks))]
    return Subnetwork(
        arch="conv2",
        classes=("no", "yes"),
        channels=1,
        image_size=4,
        mean=(0.5,),
        std=(0.5,),
        seed=0,
        kind="continuous",
        prune=0.5,
        scope="layer",
        tensors=tuple(
            MaskedTensor(n, "kaiming_normal", np.float32(1), m) for n, m in zip(names, masks, strict=True)
        ),
    )


FULL, NONE = np.ones((4, 8), bool), np.zeros((4, 8), bool)
HALF = np.arange(8)[None] < np.array([8, 4, 2, 0])[:, None]  # densities 1, 1/2, 1/4, 0


def pixel(image, x, row):
    return image.getpixel((x, picture.FIRST_ROW + picture.ROW * row + 2))


def test_colours_run_from_the_first_anchor_to_the_last():
    assert colours(np.array([0.0, 0.2, 1.0])).tolist() == [[68, 1, 84], [65, 68, 135], [253, 231, 37]]


def test_a_strip_gives_each_filter_its_share_of_pixels():
    scale = Scale(0.1, 1.0)
    pixels = strip(np.array([1.0, 0.1, 0.0]), scale, 6)
    ends = [list(colours(np.array([p]))[0]) for p in (1.0, 0.0)]
    assert pixels.tolist() == [ends[0]] * 2 + [ends[1]] * 2 + [list(picture.EMPTY)] * 2


def test_of_more_filters_than_pixels_some_are_shown_the_densest_first():
    densities = np.linspace(1, 0.1, 1000)
    pixels = strip(densities, Scale(0.1, 1.0), 10)
    assert pixels.tolist() == colours(Scale(0.1, 1.0).position(densities[::100])).tolist()


def test_each_row_has_its_filters_and_a_bar_as_long_as_it_is_dense():
    image = draw(network(FULL, HALF, NONE))
    left, right = picture.STRIP_AT + 1, picture.STRIP_AT + picture.STRIP - 2
    assert pixel(image, left, 0) == pixel(image, right, 0) == (253, 231, 37)
    assert pixel(image, left, 1) == (253, 231, 37) and pixel(image, right, 1) == picture.EMPTY
    assert pixel(image, left, 2) == picture.EMPTY
    for row, density in enumerate((1, 0.4375, 0)):
        bar = [pixel(image, picture.BAR_AT + x, row) for x in range(picture.BAR)]
        assert bar.count(picture.BLUE) == round(density * picture.BAR)
        assert bar.count(picture.TRACK) == picture.BAR - bar.count(picture.BLUE)


@pytest.mark.parametrize(
    "masks",
    [
        [NONE],
        [FULL],
        [np.ones(3, bool)],
        [np.ones((1, 1), bool)],
        [np.arange(1 << 16).reshape(2, -1) == 0, FULL],
        [np.zeros((5000, 2), bool) | (np.arange(5000) < 9)[:, None]],
    ],
    ids=["empty", "full", "one dimension", "one weight", "five decades", "more filters than pixels"],
)
def test_it_can_be_drawn_of_any_mask(masks):
    assert draw(network(*masks)).size[0] == picture.WIDTH


@pytest.fixture
def said(monkeypatch):
    """What is written into pictures: place, text, font."""
    said = []
    monkeypatch.setattr(
        picture.ImageDraw.ImageDraw, "text", lambda pen, xy, text, *rest: said.append((xy, text, rest[1]))
    )
    return said


def test_numbers_are_there_not_colours_alone(said):
    draw(network(HALF, FULL, names=["first", "second"]))
    words = [text for _, text, _ in said]
    assert words[0] == "conv2, continuous, seed 0: 46 of 64 weights kept (71.88%)"
    assert {"10%", "20%", "50%", "100%", "empty: keeps nothing", "first", "second", "4"} <= set(words)
    assert "43.75%, 1 empty" in words and "100.00%" in words


def test_labels_of_the_legend_do_not_overlap_and_a_long_name_is_cut(said):
    draw(network(np.arange(1 << 16).reshape(2, -1) == 0, FULL, names=["a\n" + "b" * 500, "second"]))
    ticks = [(xy[0], text, font) for xy, text, font in said if text.endswith("%") and xy[1] < 180]
    spans = sorted((x - font.getlength(t) / 2, x + font.getlength(t) / 2) for x, t, font in ticks)
    assert len(spans) >= 4 and all(a[1] < b[0] for a, b in itertools.pairwise(spans))
    ((name, font),) = [(text, font) for _, text, font in said if text.startswith("a?b")]
    assert "..." in name and font.getlength(name) <= picture.NAME


def test_the_palette_holds_every_colour_and_changes_greys_alone_by_one_at_most():
    """Shades of the whole scale, greys of all text."""
    filters = np.arange(1000)[None] < np.linspace(1, 1000, 720).astype(int)[:, None]
    image = draw(network(filters, NONE))
    small = np.asarray(picture.indexed(image).convert("RGB")).astype(int)
    before = np.asarray(image).astype(int)
    changed = (small != before).any(2)
    assert np.abs(small - before).max() == 1
    assert (before[changed] == before[changed][:, :1]).all()
    assert len(np.unique(before[~changed], axis=0)) > picture.SHADES


def test_too_many_layers_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(picture, "MAX_LAYERS", 1)
    with pytest.raises(UsageFault, match=r"^--picture draws at most 1 layers, the ticket has 2$"):
        write_picture(network(FULL, FULL), tmp_path / "p.png")
    assert os.listdir(tmp_path) == []


def test_the_file_is_a_small_png_and_replaced_whole(tmp_path):
    (tmp_path / "p.png").write_bytes(b"old")
    write_picture(network(FULL, HALF), tmp_path / "p.png")
    assert os.listdir(tmp_path) == ["p.png"] and (tmp_path / "p.png").stat().st_size < 300_000
    with Image.open(tmp_path / "p.png") as image:
        assert (image.format, image.size) == ("PNG", draw(network(FULL, HALF)).size)
