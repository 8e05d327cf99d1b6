"""The masks of a run, layer by layer: how dense, how many weights moved, how many bytes."""

from pathlib import Path

import numpy as np

from recycle_pipeline.exporters.density import filter_densities
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, bits_entropy_bytes
from recycle_pipeline.pipeline.report.facts import Layer, Network
from recycle_pipeline.pipeline.wording import printable

FILTERS = (5, 50, 95)  # percentiles


def network_of(path: Path, subnetwork: Subnetwork) -> Network:
    """What a report says of a subnetwork that was read from `path`."""
    taken = sizes_of(path.read_bytes(), [tensor.name for tensor in subnetwork.tensors]).layers
    layers = tuple(_layer(tensor, taken[tensor.name]) for tensor in subnetwork.tensors)
    return Network(
        printable(subnetwork.arch + subnetwork.options.described()),
        subnetwork.kind,
        subnetwork.seed,
        subnetwork.prune,
        subnetwork.scope,
        tuple(printable(name) for name in subnetwork.classes),
        subnetwork.channels,
        subnetwork.image_size,
        sum(layer.weights for layer in layers),
        sum(layer.kept for layer in layers),
        sum(layer.moved for layer in layers),
        layers,
    )


def _layer(tensor: MaskedTensor, taken: float) -> Layer:
    densities = filter_densities(tensor.mask)  # (filters,)
    low, median, high = (float(value) for value in np.percentile(densities, FILTERS))
    return Layer(
        printable(tensor.name),
        tensor.mask.shape,
        tensor.size,
        tensor.kept,
        tensor.moved,
        len(densities),
        int(np.count_nonzero(densities == 0)),
        low,
        median,
        high,
        round(taken),
        round(bits_entropy_bytes(tensor), 1),
    )
