"""Pictures: they are of the numbers that they claim to be of."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork
from recycle_pipeline.pipeline.report.figures.masks import SIDE, mask_pictures
from recycle_pipeline.pipeline.report.figures.plot import INK, cleaned, drawn, shortened, spread


def subnetwork(*masks, flips=None):
    tensors = [
        MaskedTensor(f"layer{i}", "signed_constant", np.float32(1), mask, np.float32(0.5), flips)
        for i, mask in enumerate(masks)
    ]
    return Subnetwork("x", ("a", "b"), 1, 8, (0.5,), (0.5,), 0, "binary", 0.5, "layer", tuple(tensors))


def marks(svg, colour):
    """The set marks of a picture, read back from its path: (height, width) booleans."""
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    found = np.zeros((height, width), bool)
    path = re.search(rf'<path d="([^"]*)" stroke="var\(--{colour}\)"', svg)
    for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)", path[1] if path else ""):
        found[int(y), int(x) : int(x) + int(length)] = True
    return found


def test_a_linear_layer_is_drawn_weight_by_weight():
    mask = np.random.default_rng(0).random((10, 40)) < 0.3
    [picture] = mask_pictures(subnetwork(mask))
    assert np.array_equal(marks(picture.svg, "ink"), mask)
    assert f"{np.count_nonzero(mask):,} are kept" in picture.alt


def test_a_kernel_keeps_its_shape():
    """Filters down, inputs across, each kernel as it is."""
    mask = np.random.default_rng(1).random((8, 24, 3, 3)) < 0.2
    [picture] = mask_pictures(subnetwork(mask))
    assert np.array_equal(marks(picture.svg, "ink"), mask.transpose(0, 2, 1, 3).reshape(24, 72))


def test_of_a_large_layer_the_corner_is_drawn_and_said():
    mask = np.random.default_rng(2).random((100, 90, 3, 3)) < 0.1
    [picture] = mask_pictures(subnetwork(mask))
    corner = mask[:24, :24].transpose(0, 2, 1, 3).reshape(SIDE, SIDE)
    assert np.array_equal(marks(picture.svg, "ink"), corner)
    assert picture.shows.startswith("24 of 100 filters and 24 of 90 inputs")


def test_moved_weights_are_marked_apart():
    mask = np.ones((2, 3), bool)
    flips = np.array([True, False, False, False, False, True])
    [picture] = mask_pictures(subnetwork(mask, flips=flips))
    assert np.array_equal(marks(picture.svg, "c"), flips.reshape(2, 3))
    assert np.array_equal(marks(picture.svg, "ink"), ~flips.reshape(2, 3))


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 4, 5), (2, 1, 1, 1), (70, 1, 11, 11), (3, 200, 100, 1)])
def test_a_weight_of_any_shape_has_a_picture(shape):
    [picture] = mask_pictures(subnetwork(np.ones(shape, bool)))
    found = marks(picture.svg, "ink")
    assert found.any() and max(found.shape) <= SIDE


def test_the_first_and_the_last_of_many_layers_are_shown():
    names = [p.layer for p in mask_pictures(subnetwork(*[np.ones((2, 2), bool)] * 50))]
    assert len(names) == 6 and (names[0], names[-1]) == ("layer0", "layer49")


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0.1, 20))
def test_labels_are_spread_and_keep_their_order(places, least):
    moved = spread(places, least)
    order = sorted(range(len(places)), key=lambda i: places[i])
    apart = np.diff([moved[i] for i in order])
    assert (apart >= least - 1e-6).all()
    if len(places) == 1:
        assert moved == places


def test_text_stays_text_and_its_decimals_stay():
    svg = drawn("x", 100, lambda axes: axes.text(0, 0, "0.12345 < $1$ & <b>", color=INK))
    assert "0.12345 &lt; $1$ &amp; &lt;b&gt;</text>" in svg and "<b>" not in svg
    assert "font-family" not in svg and "<style" not in svg and "metadata" not in svg


def test_ids_of_two_pictures_do_not_meet():
    one, other = (drawn(name, 100, lambda axes: axes.plot([0, 1], "o")) for name in ("one", "other"))
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
    for svg, known in zip((one, other), ids, strict=True):
        assert set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", svg)) <= known


def test_fonts_of_an_older_matplotlib_go_too():
    svg = cleaned(
        '<svg viewBox="0 0 1 1"><text style="font: 11px \'DejaVu Sans\', serif; fill: red">a</text></svg>',
        "x",
    )
    assert 'style="font-size: 11px; fill: red"' in svg


def test_a_long_name_keeps_its_end():
    assert shortened("a" * 30 + "conv1") == "\u2026" + "a" * 18 + "conv1" and shortened("short") == "short"
