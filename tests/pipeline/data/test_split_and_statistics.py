"""The fixed split and the exact channel statistics, each beside its numpy reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recycle_pipeline.pipeline.data import statistics
from recycle_pipeline.pipeline.data.split import every_fifth_is_test


@given(st.lists(st.integers(0, 4), max_size=60))
def test_every_fifth_of_each_class_is_test(labels: list[int]) -> None:
    seen: dict[int, int] = {}
    expected = []
    for label in labels:
        expected.append(seen.setdefault(label, 0) % 5 == 0)
        seen[label] += 1
    assert every_fifth_is_test(np.array(labels, dtype=np.int64)).tolist() == expected


@pytest.mark.parametrize("number", range(2, 12))
def test_a_class_of_two_or_more_has_images_in_both_splits(number: int) -> None:
    test = every_fifth_is_test(np.zeros(number, dtype=np.int64))
    assert 0 < test.sum() < number


@given(arrays(np.uint8, array_shapes(min_dims=4, max_dims=4, max_side=5)))
def test_statistics_equal_numpys(images: np.ndarray) -> None:
    pixels = images.transpose(1, 0, 2, 3).reshape(images.shape[1], -1) / 255  # (C, N*H*W)
    mean, std = statistics.channel_statistics(images)
    # float64 sums of at most 625 terms of at most 1: errors stay below 1e-12
    np.testing.assert_allclose(mean, pixels.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=1), atol=1e-7)  # the root of 1e-14 near std 0


def test_chunks_do_not_change_the_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, 2, 3, 3), dtype=np.uint8)
    whole = statistics.channel_statistics(images)
    monkeypatch.setattr(statistics, "_CHUNK_PIXELS", 20)
    assert statistics.channel_statistics(images) == whole


def test_equal_pixels_have_a_std_of_exactly_zero() -> None:
    assert statistics.channel_statistics(np.full((7, 1, 3, 3), 37, np.uint8)) == ((37 / 255,), (0.0,))
