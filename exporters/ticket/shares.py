"""How much of the streams that layers share is each layer's, version 3: in proportion to its information."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Of, OfAll, OfKept
from recycle_pipeline.exporters.ticket.header import Header, header_in
from recycle_pipeline.exporters.ticket.version3 import classes_in, contexts_in, subnetwork_in

Floats = NDArray[np.float64]
NONE = np.zeros(CLASSES, np.intp), np.zeros(CLASSES, np.intp)
Counts = tuple[NDArray[np.intp], NDArray[np.intp]]  # of each class: bits that are set, and that are not


@dataclass(frozen=True)
class Shared:
    """What the layers of a ticket share.

    Attributes:
        header: of the ticket.
        masks, moved: by layer, counts of the bits of its mask, and of those that say which weights moved.
    """

    header: Header
    masks: list[Counts]
    moved: list[Counts]


def shared_in(container: Container) -> Shared:
    """Counts of the bits in a ticket. Raises TicketFault, see `version3.subnetwork_in`."""
    header, subnetwork = header_in(container), subnetwork_in(container)
    of_masks, of_moved = contexts_in(container, header)
    masks, moved, seed = [], [], subnetwork.seed
    for layer, tensor, context, other in zip(
        header.layers, subnetwork.tensors, of_masks, of_moved, strict=True
    ):
        masks.append(_counts(OfAll(classes_in(layer, context, seed)), tensor.mask.reshape(-1)))
        bits = tensor.moved_bits()
        if other is None or bits is None:
            moved.append(NONE)
        else:
            moved.append(_counts(OfKept(classes_in(layer, other, seed), tensor.mask, layer.kept), bits))
    return Shared(header, masks, moved)


def information_of(container: Container) -> tuple[float, float]:
    """Bits that a ticket's masks, and its bits of what moved, are worth under its contexts."""
    shared = shared_in(container)
    return float(information(shared.masks).sum()), float(information(shared.moved).sum())


def sizes_in(container: Container) -> tuple[dict[str, float], int]:
    """Bytes of each layer's streams by its name, and of the state: all parts but the header."""
    shared = shared_in(container)
    layers = shared.header.layers
    symbols = [sum(n.cells + sum(n.levels) for n in (x.context, x.moved) if n is not None) for x in layers]
    drawn = [float(s.sum()) * (not x.sign_only) for (s, _), x in zip(shared.moved, layers, strict=True)]
    shares = {
        layout.CONTEXTS: np.array(symbols, np.float64),
        layout.MASKS: information(shared.masks),
        layout.MOVED: information(shared.moved),
        layout.ELSEWHERE: np.array(drawn),
        layout.SOURCES: np.array(drawn),
    }
    sizes = {part: array.nbytes for part, array in container.parts.items()}
    taken = sum(_shared(sizes.get(part, 0), share) for part, share in shares.items())
    names = (layer.name for layer in layers)
    return dict(zip(names, _whole(np.asarray(taken)), strict=True)), sizes.get(layout.STATE, 0)


def information(layers: Sequence[Counts]) -> Floats:
    """Bits that each layer's bits are worth, where their odds are those of their class over all layers."""
    set_, unset = (np.array(counts, np.float64) for counts in zip(*layers, strict=True))
    total = set_ + unset
    found: Floats = set_ @ _costs(set_, total) + unset @ _costs(unset, total)
    return found


def _counts(of: Of, bits: Bits) -> Counts:
    set_, all_ = NONE[0].copy(), NONE[1].copy()
    if of.constant is not None:
        set_[of.constant], all_[of.constant] = np.count_nonzero(bits), len(bits)
        return set_, all_ - set_
    for run, classes in of.runs():
        set_ += np.bincount(classes[bits[run]], minlength=CLASSES)
        all_ += np.bincount(classes, minlength=CLASSES)
    return set_, all_ - set_


def _costs(counts: Floats, total: Floats) -> Floats:
    """Bits of one of these, by class."""
    some, all_ = counts.sum(0), total.sum(0)
    return np.where(some > 0, np.log2(np.maximum(all_, 1) / np.maximum(some, 1)), 0.0)


def _whole(bytes_: Floats) -> list[float]:
    """Whole bytes with the same sum: rounded up where most was cut off."""
    found = np.floor(bytes_)
    up = np.argsort(found - bytes_, kind="stable")[: round(float((bytes_ - found).sum()))]
    found[up] += 1
    return [float(each) for each in found]


def _shared(size: int, share: Floats) -> Floats:
    """That many bytes in these proportions; evenly if all are 0."""
    return size * (share / share.sum() if share.sum() else np.full(len(share), 1 / len(share)))
