"""Where the bytes of a ticket are."""

from collections.abc import Iterable
from dataclasses import dataclass

import safetensors.numpy

from recycle_pipeline.exporters.ticket import layout

OF_A_LAYER = (layout.MASK, layout.FLIPS, layout.DRAWS, layout.SOURCES)


@dataclass(frozen=True)
class Sizes:
    """Bytes, which add up to the file's.

    Attributes:
        layers: of the streams of each masked layer, by its name; a fraction where layers share a stream.
        state: of batch-norm statistics, biases and other arrays.
        header: of names, offsets, CRCs, digests and settings.
    """

    layers: dict[str, float]
    state: int
    header: int


def sizes_of(content: bytes, layers: Iterable[str]) -> Sizes:
    """The sizes in a ticket's bytes, which `reader` has found to be in order.

    Args:
        content: the whole file.
        layers: names of the masked layers.
    """
    parts = {name: array.nbytes for name, array in safetensors.numpy.load(content).items()}
    return Sizes(
        layers={layer: float(sum(parts.get(kind + layer, 0) for kind in OF_A_LAYER)) for layer in layers},
        state=sum(size for name, size in parts.items() if name.startswith(layout.STATE)),
        header=len(content) - sum(parts.values()),
    )
