"""Where the bytes of a ticket are."""

from collections.abc import Iterable
from dataclasses import dataclass

from recycle_pipeline.exporters.ticket.container import opened
from recycle_pipeline.exporters.ticket.earlier import reader as earlier
from recycle_pipeline.exporters.ticket.shares import sizes_in


@dataclass(frozen=True)
class Sizes:
    """Bytes, which add up to the file's.

    Attributes:
        layers: of the streams of each masked layer, by its name: its share where layers share a stream.
        state: of batch-norm statistics, biases and other arrays.
        header: of names, offsets, CRCs, digests and settings.
    """

    layers: dict[str, float]
    state: int
    header: int


def sizes_of(content: bytes, layers: Iterable[str]) -> Sizes:
    """The sizes in a ticket's bytes, which `reader` has found to be in order.

    Layers that share a stream have as much of it as their bits have of its information, in whole bytes.

    Args:
        content: the whole file.
        layers: names of the masked layers.
    """
    container = opened(content, "ticket")
    if container.version > earlier.LATEST:
        taken, state = sizes_in(container)
    else:
        taken, state = earlier.sizes_in(container, layers)
    return Sizes(taken, state, len(content) - state - round(sum(taken.values())))
