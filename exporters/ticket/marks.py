"""Marks of version 4's weights to masks, what moved, and where that came from."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, origins
from recycle_pipeline.exporters.ticket.header import Header, Layer
from recycle_pipeline.exporters.ticket.parts import Parts
from recycle_pipeline.models.subnetwork import BLOCK, MaskedTensor, places_of

Bits = NDArray[np.bool_]
Places = NDArray[np.intp]
Marks = NDArray[np.uint8]
Pieces = Iterator[Places] | None
Origin = tuple[NDArray[np.int16], NDArray[np.int32]]
KEPT, MOVED = 1, 2  # marks of a weight


def pieces_of(marks: Marks, moved: Bits) -> Iterator[Places]:
    """Where in each block of a layer weights are kept; makes its mask of the marks, and says which moved.

    Args:
        marks: of its weights; the mask, as 0 and 1, block by block.
        moved: room for a bit for each that is kept.
    """
    first = 0
    for start in range(0, len(marks), BLOCK):
        part = marks[start : start + BLOCK]
        places = places_of(part > 0)
        own = part.take(places)
        np.greater(own, KEPT, out=moved[first : first + len(own)])
        np.minimum(part, KEPT, out=part)
        first += len(own)
        yield places


def origins_of(
    header: Header, marks: Sequence[Marks], moved: Sequence[Bits], pieces: list[Pieces], parts: Parts
) -> dict[int, Origin]:
    """Of the layers whose weights are drawn, and moved; their pieces are taken for it."""
    drawn = [i for i, layer in enumerate(header.layers) if layer.moved is not None and not layer.sign_only]
    if not drawn:
        return {}
    for i in drawn:
        exhaust(pieces[i])
        pieces[i] = None
    kept = [marks[i].nonzero()[0].astype(np.int32) for i in drawn]
    told = header.said["sources"]
    layers = [
        (places[moved[i]].astype(np.intp), header.layers[i].shape)
        for i, places in zip(drawn, kept, strict=True)
    ]
    total = sum(len(places) for places, _ in layers)
    away = parts.decoded(layout.ELSEWHERE, lambda frame: origins.elsewhere_from(frame, told, total))
    both = parts.decoded(layout.SOURCES, lambda frame: origins.decoded(frame, told, away, layers, joint=True))
    return {i: _spread_over(places, moved[i], *own) for i, places, own in zip(drawn, kept, both, strict=True)}


def _spread_over(
    kept: NDArray[np.int32], moved: Bits, draws: NDArray[np.int16], sources: NDArray[np.int32]
) -> Origin:
    """Draws and sources of all kept weights; those that did not move are in place, of the first draw."""
    of_all = np.zeros(len(kept), np.int16), kept
    of_all[0][moved], of_all[1][moved] = draws, sources
    return of_all


def exhaust(pieces: Pieces) -> None:
    """Takes all pieces, for what they do to a layer."""
    for _ in pieces or ():
        pass


def tensor_of(layer: Layer, mask: Bits, moved: Bits | None, origin: Origin | None) -> MaskedTensor:
    """A layer's weights, of which some moved, by sign alone if there is no origin."""
    head = layer.name, layer.init, layer.scale, mask.reshape(layer.shape), layer.gain
    if origin is None:
        return MaskedTensor(*head, flips=moved)
    return MaskedTensor(*head, draws=origin[0], sources=origin[1])
