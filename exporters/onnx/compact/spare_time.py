"""Which weights are packed smaller than loads quickest, as far as there is time for it."""

from collections.abc import Sequence

from recycle_pipeline.exporters.onnx.compact.packings import Costs, Packing

# Of a network's weights, for how many its codes of gaps may be taken apart, at 10 ns each: opening the plain
# model takes 8 ns for each weight, and packed ones should take no more than 1.2 times that.
TAKEN_APART_MOST = 0.045


def with_spare_time_used(
    ways: Sequence[Packing | None], costs: Sequence[Costs], sizes: Sequence[int]
) -> list[Packing | None]:
    """The ways, with codes of fewer bits in place of whole bytes where that saves most, while time is left.

    Args:
        ways: chosen for each weight.
        costs: bytes of each weight in each way.
        sizes: of the weights.
    """
    there = {way for way in ways if way is not None and way.kind == "gaps"}
    others = {way for each in costs for way in each if way.kind == "gaps"} - there
    # Each way takes operators: none is added but the one that saves most.
    tried = [
        _filled(ways, costs, sizes, there),
        *(_filled(ways, costs, sizes, there | {way}) for way in sorted(others)),
    ]
    return min(tried, key=lambda found: _bytes(found, costs))


def _filled(
    ways: Sequence[Packing | None], costs: Sequence[Costs], sizes: Sequence[int], allowed: set[Packing]
) -> list[Packing | None]:
    found = list(ways)
    left = int(TAKEN_APART_MOST * sum(sizes)) - sum(map(_taken_apart, ways, costs))
    gains = []
    for number, (way, each) in enumerate(zip(ways, costs, strict=True)):
        if way is not None and way.kind == "bytes" and allowed & each.keys():
            other = min(allowed & each.keys(), key=lambda other: (each[other], other))
            gains.append((each[way] - each[other], _taken_apart(other, each), number, other))
    for saved, codes, number, other in sorted(
        gains, key=lambda gain: gain[0] / max(gain[1], 1), reverse=True
    ):
        if saved > 0 and codes <= left:
            found[number], left = other, left - codes
    return found


def _taken_apart(way: Packing | None, costs: Costs) -> int:
    """Codes of a packed weight which are not whole bytes."""
    return 8 * costs[way] // (way.width + 1) if way is not None and way.kind == "gaps" else 0


def _bytes(ways: Sequence[Packing | None], costs: Sequence[Costs]) -> int:
    weights = sum(each[way] for way, each in zip(ways, costs, strict=True) if way is not None)
    return weights + sum(way.decoder_bytes for way in {way for way in ways if way is not None})
