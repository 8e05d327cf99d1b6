"""The Pareto front: points that no other point is better than."""

from collections.abc import Sequence

Costs = Sequence[float]  # of one point; less is better


def dominates(one: Costs, other: Costs) -> bool:
    """Whether `one` is nowhere worse and somewhere better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def dominators(points: Sequence[Costs]) -> list[int | None]:
    """For each point one of the front that dominates it, the best by the first cost; None on the front.

    Args:
        points: all with the same costs, finite.
    """
    front = [i for i, one in enumerate(points) if not any(dominates(other, one) for other in points)]
    found: list[int | None] = []
    for index, point in enumerate(points):
        better = [i for i in front if i != index and dominates(points[i], point)]
        found.append(min(better, key=lambda i: tuple(points[i])) if better else None)
    return found
