"""Parts of version 4 to a Subnetwork. Trusts nothing: every way to be wrong is a TicketFault."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import by_class, digests, layout, state
from recycle_pipeline.exporters.ticket.coding.frames import content_of, decode_carrying
from recycle_pipeline.exporters.ticket.coding.streams import told
from recycle_pipeline.exporters.ticket.coding.tables import Frequencies
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Spread
from recycle_pipeline.exporters.ticket.contexts.staged import StagedContext, Stages, room_for
from recycle_pipeline.exporters.ticket.contexts.stored import Numbers, contexts_of
from recycle_pipeline.exporters.ticket.faults import DigestFault, HeaderFault
from recycle_pipeline.exporters.ticket.fields import subnetwork_of
from recycle_pipeline.exporters.ticket.header import Layer, header_in
from recycle_pipeline.exporters.ticket.loops import loops
from recycle_pipeline.exporters.ticket.marks import (
    KEPT,
    MOVED,
    Bits,
    Pieces,
    Places,
    exhaust,
    origins_of,
    pieces_of,
    tensor_of,
)
from recycle_pipeline.exporters.ticket.parts import Parts
from recycle_pipeline.exporters.ticket.raw import Raw
from recycle_pipeline.exporters.ticket.tallied import Symbols, table_of
from recycle_pipeline.models.kept_digest import BYTES
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

Arrays = dict[str, NDArray[Any]]


class Streams:
    """What the frames of a ticket hold, before bits find their weights.

    Attributes:
        header: of the ticket.
        of_masks, of_moved: contexts, by layer.
        masks, moved: bits by class; `moved` is None if no weight moved.
        marks, turned: room for what each weight is, zeros, and for which of the kept ones moved.
        state: the arrays that are not masked weights.
        digests: of all arrays, by state name; of weights as much as is stored.

    Raises:
        TicketFault: the header or a part is not as it must be; names it.
    """

    masks: by_class.ByClass
    moved: by_class.ByClass | None = None

    def __init__(self, container: Container) -> None:
        self.header, parts = header_in(container), Parts(container)
        said, layers = self.header.said, self.header.layers
        total, moving = (sum(e.size for e in layers), sum(e.kept for e in layers if e.moved is not None))
        if said["moved"] and not moving:
            raise HeaderFault(container.name, "header", "counts of what moved, where nothing did")
        if said["planes"] and not said["state"]:
            raise HeaderFault(container.name, "header", "planes of a state, where there is none")
        numbers = [layer.context for layer in layers]
        numbers += [layer.moved for layer in layers if layer.moved is not None]
        with parts.named(layout.CONTEXTS):
            segments = _segments_of(numbers, said["tallies"])
        with parts.named(layout.MASKS):
            masks = by_class.counts_from(said["masks"], total)
            segments += told(list(masks.values()))
        with parts.named(layout.MOVED):
            moved = by_class.counts_from(said["moved"], moving)
            segments += told(list(moved.values()))
        with parts.named(layout.STATE):
            numbers_of_state = state.Told(said["state"], said["planes"])
        segments += numbers_of_state.segments
        # Taken before what is given back soon, which else leaves a hole below it.
        self.marks, self.turned = np.zeros(total, np.uint8), np.empty(moving, np.bool_)
        found, carried = parts.decoded(layout.CODED, lambda frame: decode_carrying(frame, segments))
        symbols = iter(found)
        contexts = iter(contexts_of(numbers, next(symbols), next(symbols)))
        self.of_masks = [next(contexts) for _ in layers]
        self.of_moved = [None if layer.moved is None else next(contexts) for layer in layers]
        with parts.named(layout.MASKS):
            self.masks = by_class.spread(masks, symbols)
        if moving:
            with parts.named(layout.MOVED):
                self.moved = by_class.spread(moved, symbols)
        self._take_raw(container, parts, carried, numbers_of_state, symbols)

    def release(self) -> None:
        """Forgets the bits, once they have all found their weights."""
        self.masks, self.moved = Spread([None] * CLASSES, 0), None

    def _take_raw(
        self,
        container: Container,
        parts: Parts,
        carried: bytes,
        numbers: state.Told,
        symbols: Iterator[Symbols],
    ) -> None:
        left = parts.decoded(layout.RAW, content_of) if layout.RAW in container.parts else None
        with parts.named(layout.RAW):
            if left == b"":
                raise ValueError("it is empty")
            raw = Raw(carried + (left or b""))
            names = [f"{layer.name}.weight" for layer in self.header.layers]
            self.digests = {name: raw.take(BYTES).hex() for name in names}
            of_state = raw.take(BYTES).hex()
            self.state = numbers.arrays(symbols, raw)
            raw.end(len(carried))
        for layer in self.header.layers:
            if f"{layer.name}.weight" in self.state:
                raise HeaderFault(container.name, layer.name, "its weight is of the state, too")
        found = {name: array_digest(array) for name, array in self.state.items()}
        if not state.digest_of(found).startswith(of_state):
            raise DigestFault(
                container.name, layout.STATE, "the rebuilt arrays are not those that were stored"
            )
        self.digests |= found


def _segments_of(numbers: Sequence[Numbers], tallies: Any) -> list[tuple[int, Frequencies]]:
    """Of contexts: tables, then levels."""
    totals = {
        "tables": sum(each.cells for each in numbers),
        "levels": sum(sum(each.levels) for each in numbers),
    }
    return [(total, table_of(tallies[row], total)) for row, total in totals.items()]


def read_in(container: Container) -> tuple[Subnetwork, dict[str, str]]:
    """The subnetwork that a ticket of version 4 holds, and the digests of all arrays, by state name.

    Raises:
        TicketFault: the header or a part is not as it must be; names it.
        DigestFault: the state is not the one that was stored.
    """
    streams = Streams(container)
    empty = _without_tensors(container, streams)
    tensors = list[MaskedTensor]()
    for tensor, pieces in _tensors(container, streams, empty.seed):
        exhaust(pieces)
        tensors.append(tensor)
    return replace(empty, tensors=tuple(tensors)), streams.digests


def rebuilt_in(container: Container) -> tuple[Subnetwork, Arrays]:
    """The subnetwork and its `arrays()`, which are compared with their digests.

    Raises:
        TicketFault: see `read_in`.
        DigestFault: an array is not the one that was stored; names it.
    """
    streams, found = Streams(container), Arrays()
    del container.parts[layout.CODED]  # memory for the weights
    empty, tensors = _without_tensors(container, streams), list[MaskedTensor]()
    for tensor, pieces in _tensors(container, streams, empty.seed):
        name = f"{tensor.name}.weight"
        found[name], digest = tensor.rebuilt(empty.seed, pieces)
        if digest != streams.digests[name]:
            raise DigestFault(container.name, name, digests.OTHER)
        tensors.append(tensor)
    return replace(empty, tensors=tuple(tensors)), {**found, **streams.state}


def _without_tensors(container: Container, streams: Streams) -> Subnetwork:
    try:
        return subnetwork_of(streams.header.said, (), streams.state)
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderFault(container.name, "header", f"{type(error).__name__}: {error}") from error


def stages_of(
    layer: Layer,
    seed: int,
    of_mask: StagedContext,
    of_moved: StagedContext | None,
    room: NDArray[np.int8] | None = None,
) -> Stages:
    """Of a layer with its contexts."""
    return Stages(layer.name, layer.shape, seed, of_mask, of_moved, layer.sign_only, room=room)


def _tensors(container: Container, streams: Streams, seed: int) -> Iterator[tuple[MaskedTensor, Pieces]]:
    """Each layer. If pieces come with it, it is complete when these were taken: see `pieces_of`."""
    layers, parts = streams.header.layers, Parts(container)
    # At once, so that it goes back to the system as a whole.
    rooms = np.cumsum([room_for(layer.shape, layer.context.in_turn) for layer in layers])
    room = np.split(np.zeros(rooms[-1], np.int8), rooms[:-1])
    contexts = zip(layers, streams.of_masks, streams.of_moved, room, strict=True)
    marks = np.split(streams.marks, np.cumsum([e.size for e in layers])[:-1])
    moving = np.cumsum([0 if e.moved is None else e.kept for e in layers])
    turned = np.split(streams.turned, moving[:-1])
    weights = [
        _Weights(layer, stages_of(layer, seed, of_mask, of_moved, zeros), own)
        for (layer, of_mask, of_moved, zeros), own in zip(contexts, marks, strict=True)
    ]
    for position in range(max(each.stages.positions for each in weights)):
        _take_position(parts, streams, position, [e for e in weights if position < e.stages.positions])
    with parts.named(layout.MASKS):
        streams.masks.end()
        for each in weights:
            each.check()
    if streams.moved is not None:
        with parts.named(layout.MOVED):
            streams.moved.end()
    del weights, room, contexts
    streams.release()
    pieces = [
        None if layer.moved is None else pieces_of(own, bits)
        for layer, own, bits in zip(layers, marks, turned, strict=True)
    ]
    origin = origins_of(streams.header, marks, turned, pieces, parts)
    for i, (layer, own) in enumerate(zip(layers, marks, strict=True)):
        moved = None if layer.moved is None else turned[i]
        yield tensor_of(layer, own.view(np.bool_), moved, origin.get(i)), pieces[i]


def _take_position(parts: Parts, streams: Streams, position: int, weights: "list[_Weights]") -> None:
    """Finds out which weights are kept at a position of these layers, and which of them moved."""
    with parts.named(layout.MASKS):
        kept = streams.masks.places(each.stages.masks(position) for each in weights)
        for each, places in zip(weights, kept, strict=True):
            each.keep(position, places)
    moving = [each for each in weights if each.layer.moved is not None]
    if streams.moved is not None:
        with parts.named(layout.MOVED):
            moved = streams.moved.places(each.stages.moved(position, each.places) for each in moving)
        for each, ranks in zip(moving, moved, strict=True):
            each.move(position, ranks)
    for each in weights:
        each.stages.settle(position, each.places, each.moved)


class _Weights:
    """A layer while its bits come in."""

    places: Places
    moved: Bits | None = None

    def __init__(self, layer: Layer, stages: Stages, marks: NDArray[np.uint8]) -> None:
        self.layer, self.stages = layer, stages
        self._marks, self._kept = marks, 0

    def keep(self, position: int, places: Places) -> None:
        """Takes where weights are kept at a position. Raises ValueError if they are too many."""
        self.places, step = places, self.stages.positions
        self._kept += len(places)
        if self._kept > self.layer.kept:
            self.check()
        if (compiled := loops()) is not None:
            compiled.mark(places, step, position, KEPT, self._marks)
        else:
            self._marks[places * step + position if step > 1 else places] = KEPT

    def move(self, position: int, ranks: Places) -> None:
        """Takes which of the kept weights of the position moved."""
        self.moved, step = np.zeros(len(self.places), np.bool_), self.stages.positions
        self.moved[ranks] = True
        self._marks[self.places.take(ranks) * step + position] = KEPT + MOVED

    def check(self) -> None:
        """Raises ValueError unless so many weights are kept as the header says."""
        if self._kept != self.layer.kept:
            what = f"{self._kept} weights kept of {self.layer.name!r}"
            raise ValueError(f"{what}, the header says {self.layer.kept}")
