"""How much of the streams that layers share is each layer's, version 3: in proportion to its information."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Of, sizes_of
from recycle_pipeline.exporters.ticket.header import header_in
from recycle_pipeline.exporters.ticket.version3 import contexts_in, of_weights, subnetwork_in

Floats = NDArray[np.float64]
NONE: tuple[Of, Bits] = (0, np.zeros(0, np.bool_))


def sizes_in(container: Container) -> tuple[dict[str, float], int]:
    """Bytes of each layer's streams by its name, and of the state: all parts but the header."""
    header, subnetwork = header_in(container), subnetwork_in(container)
    of_masks, of_moved = contexts_in(container, header)
    masks, moved, symbols = [], [], []
    for layer, tensor, context, other in zip(
        header.layers, subnetwork.tensors, of_masks, of_moved, strict=True
    ):
        masks.append((of_weights(context, subnetwork.seed, layer), tensor.mask.reshape(-1)))
        kept, bits = np.flatnonzero(tensor.mask), tensor.moved_bits()
        if other is None or bits is None:
            moved.append(NONE)
        else:
            moved.append((of_weights(other, subnetwork.seed, layer, kept), bits))
        symbols.append(sum(n.cells + sum(n.levels) for n in (layer.context, layer.moved) if n is not None))
    drawn = [
        float(np.count_nonzero(bits)) * (not t.sign_only)
        for (_, bits), t in zip(moved, subnetwork.tensors, strict=True)
    ]
    shares = {
        layout.CONTEXTS: np.array(symbols, np.float64),
        layout.MASKS: information(masks),
        layout.MOVED: information(moved),
        layout.ELSEWHERE: np.array(drawn),
        layout.SOURCES: np.array(drawn),
    }
    sizes = {part: array.nbytes for part, array in container.parts.items()}
    taken = sum(_shared(sizes.get(part, 0), share) for part, share in shares.items())
    names = (layer.name for layer in header.layers)
    return dict(zip(names, np.asarray(taken).tolist(), strict=True)), sizes.get(layout.STATE, 0)


def information(layers: Sequence[tuple[Of, Bits]]) -> Floats:
    """Bits that each layer's bits are worth, where their odds are those of their class over all layers."""
    total = np.array([sizes_of(of, len(bits)) for of, bits in layers], np.float64)
    set_ = np.array([_sizes_of_set(of, bits) for of, bits in layers], np.float64)
    unset = total - set_
    found: Floats = set_ @ _costs(set_, total) + unset @ _costs(unset, total)
    return found


def _costs(counts: Floats, total: Floats) -> Floats:
    """Bits of one of these, by class."""
    some, all_ = counts.sum(0), total.sum(0)
    return np.where(some > 0, np.log2(np.maximum(all_, 1) / np.maximum(some, 1)), 0.0)


def _sizes_of_set(of: Of, bits: Bits) -> NDArray[np.intp]:
    count = int(np.count_nonzero(bits))
    return sizes_of(of, count) if isinstance(of, int) else np.bincount(of[bits], minlength=CLASSES)


def _shared(size: int, share: Floats) -> Floats:
    """That many bytes in these proportions; evenly if all are 0."""
    return size * (share / share.sum() if share.sum() else np.full(len(share), 1 / len(share)))
