"""Parts of version 3 to a Subnetwork. Trusts nothing: every way to be wrong is a TicketFault."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import by_class, layout, origins, state
from recycle_pipeline.exporters.ticket.coding.frames import WIDE, decode_symbols
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.context import Classes, Context
from recycle_pipeline.exporters.ticket.contexts.grouped import Of, OfAll, OfKept
from recycle_pipeline.exporters.ticket.contexts.stored import contexts_of
from recycle_pipeline.exporters.ticket.faults import DigestFault, HeaderFault
from recycle_pipeline.exporters.ticket.fields import subnetwork_of
from recycle_pipeline.exporters.ticket.header import STATE_DIGEST, Header, Layer, header_in
from recycle_pipeline.exporters.ticket.parts import Parts
from recycle_pipeline.exporters.ticket.tallied import table_of
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

Bits = NDArray[np.bool_]
Sources = NDArray[np.int32]


def subnetwork_in(container: Container) -> Subnetwork:
    """The subnetwork that a ticket of version 3 holds.

    Raises:
        TicketFault: the header or a part is not as it must be; names it.
    """
    header, parts = header_in(container), Parts(container)
    try:
        empty = subnetwork_of(header.said, (), {})
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderFault(container.name, "header", f"{type(error).__name__}: {error}") from error
    of_masks, of_moved = contexts_in(container, header)
    masks = parts.decoded(layout.MASKS, lambda frame: _masks(frame, header, of_masks, empty.seed))
    tensors = _tensors(header, masks, of_moved, empty.seed, parts)
    arrays = state_in(container, header)
    for layer in header.layers:
        if f"{layer.name}.weight" in arrays:
            raise HeaderFault(container.name, layer.name, "its weight is of the state, too")
    return subnetwork_of(header.said, tensors, arrays)


def state_in(container: Container, header: Header) -> dict[str, NDArray[Any]]:
    """The arrays that are not masked weights. Raises PartFault if they cannot be read."""
    said = header.said
    if not said["state"]:
        return {}
    return Parts(container).decoded(
        layout.STATE, lambda frame: state.decoded(frame, said["state"], said["planes"])
    )


def digests_in(container: Container, arrays: Mapping[str, NDArray[Any]] | None = None) -> dict[str, str]:
    """The digests of all arrays, by state name: as stored of the weights, and taken of the state.

    Args:
        container: the ticket.
        arrays: the state, if the caller has it already.

    Raises:
        TicketFault: see `subnetwork_in`.
        DigestFault: the state is not the one that was stored.
    """
    header = header_in(container)
    arrays = state_in(container, header) if arrays is None else arrays
    of_state = {name: array_digest(array) for name, array in arrays.items()}
    if state.digest_of(of_state) != header.said[STATE_DIGEST]:
        raise DigestFault(container.name, layout.STATE, "the rebuilt arrays are not those that were stored")
    return {f"{layer.name}.weight": str(layer.sha256) for layer in header.layers} | of_state


def contexts_in(container: Container, header: Header) -> tuple[list[Context], list[Context | None]]:
    """Of each layer's mask, and of its bits that moved. Raises PartFault if they cannot be read."""
    return Parts(container).decoded(layout.CONTEXTS, lambda frame: _contexts(frame, header))


def _contexts(frame: bytes, header: Header) -> tuple[list[Context], list[Context | None]]:
    of_moved = [layer.moved for layer in header.layers]
    numbers = [layer.context for layer in header.layers] + [each for each in of_moved if each is not None]
    tallies = header.said["tallies"]
    totals = {
        "tables": sum(each.cells for each in numbers),
        "levels": sum(sum(each.levels) for each in numbers),
    }
    segments = [(total, table_of(tallies[row], total)) for row, total in totals.items()]
    found = (staged.plain for staged in contexts_of(numbers, *decode_symbols(frame, segments, WIDE)))
    of_masks = [next(found) for _ in header.layers]
    return of_masks, [None if each is None else next(found) for each in of_moved]


def _masks(frame: bytes, header: Header, contexts: Sequence[Context], seed: int) -> list[Bits]:
    pairs = zip(header.layers, contexts, strict=True)
    of = [OfAll(classes_in(layer, context, seed)) for layer, context in pairs]
    masks = _spread(frame, header.said["masks"], of)
    for layer, mask in zip(header.layers, masks, strict=True):
        if (kept := int(np.count_nonzero(mask))) != layer.kept:
            raise ValueError(f"{kept} weights kept of {layer.name!r}, the header says {layer.kept}")
    return masks


def _spread(frame: bytes, numbers: Any, layers: Sequence[Of]) -> list[Bits]:
    found, carried = by_class.decoded(frame, numbers, sum(of.count for of in layers), WIDE)
    if any(carried):
        raise ValueError("a lane does not end where encoding begins")
    bits = [np.zeros(of.count, np.bool_) for of in layers]
    for each, of in zip(bits, layers, strict=True):
        each[found.places([of])[0]] = True
    found.end()
    return bits


def _tensors(
    header: Header, masks: list[Bits], contexts: list[Context | None], seed: int, parts: Parts
) -> tuple[MaskedTensor, ...]:
    moving = [i for i, layer in enumerate(header.layers) if layer.moved is not None]
    if not moving:
        return tuple(_tensor(layer, mask) for layer, mask in zip(header.layers, masks, strict=True))

    def moved(frame: bytes) -> list[Bits]:
        layers = [(header.layers[i], masks[i], contexts[i]) for i in moving]
        of = [OfKept(classes_in(layer, other, seed), mask, layer.kept) for layer, mask, other in layers]
        return _spread(frame, header.said["moved"], of)

    bits = dict(zip(moving, parts.decoded(layout.MOVED, moved), strict=True))
    drawn = [i for i in moving if not header.layers[i].sign_only]
    kept = {i: masks[i].nonzero()[0].astype(np.int32) for i in drawn}
    origin = dict(zip(kept, _origins(header, kept, bits, parts), strict=True))
    return tuple(
        _tensor(layer, mask, bits.get(i), kept.get(i), origin.get(i))
        for i, (layer, mask) in enumerate(zip(header.layers, masks, strict=True))
    )


def _origins(
    header: Header, kept: dict[int, Sources], bits: dict[int, Bits], parts: Parts
) -> list[tuple[NDArray[np.int16], NDArray[np.int32]]]:
    if not kept:
        return []
    told = header.said["sources"]
    layers = [(places[bits[i]].astype(np.intp), header.layers[i].shape) for i, places in kept.items()]
    total = sum(len(places) for places, _ in layers)
    away = parts.decoded(layout.ELSEWHERE, lambda frame: origins.elsewhere_from(frame, told, total, WIDE))
    return parts.decoded(
        layout.SOURCES, lambda frame: origins.decoded(frame, told, away, layers, joint=False)
    )


def _tensor(
    layer: Layer,
    mask: Bits,
    moved: Bits | None = None,
    kept: Sources | None = None,
    origin: tuple[NDArray[np.int16], NDArray[np.int32]] | None = None,
) -> MaskedTensor:
    head = layer.name, layer.init, layer.scale, mask.reshape(layer.shape), layer.gain
    if moved is None or kept is None or origin is None:
        return MaskedTensor(*head, flips=moved)
    draws, sources = np.zeros(layer.kept, np.int16), kept
    draws[moved], sources[moved] = origin
    return MaskedTensor(*head, draws=draws, sources=sources)


def classes_in(layer: Layer, context: Context | None, seed: int) -> Classes:
    """Of a layer, with the context of its mask or of its bits that moved."""
    assert context is not None
    return Classes(context, seed, layer.name, layer.shape)
