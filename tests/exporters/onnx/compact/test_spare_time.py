"""Bytes that become codes of fewer bits, as far as there is time to take these apart."""

import numpy as np
import onnx
import pytest

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.packings import DECODER_BYTES, ENTRY_PRICE, Packing
from recycle_pipeline.exporters.onnx.compact.spare_time import TAKEN_APART_MOST, with_spare_time_used

BYTES, FIVE, SIX = (Packing(kind, width, "<f4") for kind, width in (("bytes", 7), ("gaps", 5), ("gaps", 6)))
SIZE = 10**6


def costs(*shares):
    """Of weights of `SIZE`, 4 % of which are kept: a byte for each, or less."""
    return [{BYTES: 40_000, FIVE: int(share * 40_000), SIX: int(share * 40_000) + 1_000} for share in shares]


def test_those_that_save_most_are_taken_while_time_is_left():
    found = with_spare_time_used([BYTES] * 3, costs(0.75, 0.7, 0.8), [SIZE] * 3)
    assert found == [FIVE, FIVE, FIVE]  # 4 % of each is below 4.5 %
    dense = [{way: 3 * cost for way, cost in each.items()} for each in costs(0.75, 0.7, 0.8)]
    assert with_spare_time_used([BYTES] * 3, dense, [SIZE] * 3) == [BYTES, FIVE, BYTES]


def test_codes_that_are_taken_apart_already_count():
    already = {**costs(0.7)[0], FIVE: int(2.9 * TAKEN_APART_MOST * SIZE * 6 / 8)}
    assert with_spare_time_used([FIVE, BYTES, BYTES], [already, *costs(0.7, 0.7)], [SIZE] * 3) == [
        FIVE,
        BYTES,
        BYTES,
    ]


def test_nothing_is_taken_that_does_not_pay_for_its_operators():
    saves = DECODER_BYTES - 10
    small = [{BYTES: 40_000, FIVE: 40_000 - saves}]
    assert with_spare_time_used([BYTES], small, [SIZE]) == [BYTES]
    there = [*small, {FIVE: 100}]
    assert with_spare_time_used([BYTES, FIVE], there, [SIZE] * 2) == [FIVE, FIVE]


@pytest.mark.parametrize("ways", [[None, None], [Packing("trits", 0, "<f4"), None]])
def test_other_ways_stay(ways):
    there = [{Packing("trits", 0, "<f4"): 50_000, FIVE: 100}, {}]
    assert with_spare_time_used(ways, there, [SIZE] * 2) == ways


def test_a_model_with_some_of_both_is_right_and_between_the_two_in_size(made):
    weights = [made.weight((300, 300), 0.1, "one level") for _ in range(3)]
    models = {price: made.model(*weights) for price in (0.0, ENTRY_PRICE)}
    said = {price: compact(model, entry_price=price) for price, model in models.items()}
    assert [each.way for each in said[0.0]] == ["gaps of 5 bits"] * 3
    assert sorted(each.way for each in said[ENTRY_PRICE]) == ["bytes", "bytes", "gaps of 5 bits"]
    onnx.checker.check_model(models[ENTRY_PRICE], full_check=True)
    for name, weight in zip(made.unpacked(models[ENTRY_PRICE], 3), weights, strict=True):
        assert np.array_equal(name, weight)
