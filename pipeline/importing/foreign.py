"""What a ticket can hold of weights that are not this tool's draws.

A ticket stores a seed, a mask and, for each kept weight, at most whether its sign is the one that the seed
gives; a gain per layer is the magnitude. Any layer whose kept weights are +-g for one float32 g is of this
form, whoever made it: Biprop's, signed constants, binary networks. Its signs have nothing to do with the
seed, so each costs a bit. A layer of other values is not: no seed gives them. It is refused, or, where the
user names it, stored as it is, 32 bits a weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.errors import RecycleError, UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor

SHOWN = 8  # layers in one message


@dataclass(frozen=True)
class Held:
    """A network's arrays as a ticket holds them.

    Attributes:
        tensors: layers as mask, signs and gain.
        state: every other array, by state name.
    """

    tensors: tuple[MaskedTensor, ...]
    state: dict[str, NDArray[np.generic]]


def held(
    arrays: Mapping[str, NDArray[np.generic]],
    layers: Sequence[str],
    seed: int,
    unmasked: Sequence[str] = (),
) -> Held:
    """Puts the weights of `layers` as masks, signs and gains over the draws of `seed`.

    Args:
        arrays: of the whole network, by state name, finite; a weight of 0 or -0 is pruned, and comes out +0.
        layers: whose weights may be masked, in the network's order.
        seed: of the signs.
        unmasked: layers to store as they are.

    Raises:
        UsageFault: a layer has weights of several magnitudes, or `unmasked` names a layer that is not there
            or all that are.
        RecycleError: what was put together is not what was given.
    """
    for layer in unmasked:
        if layer not in layers:
            raise UsageFault(f"--unmasked {layer}: no such layer; expected one of {', '.join(layers)}")
    masked = [layer for layer in layers if layer not in unmasked]
    if not masked:
        raise UsageFault("--unmasked names every layer: nothing is left for a ticket to mask")
    weights = {layer: arrays[f"{layer}.weight"].astype(np.float32, copy=False) for layer in masked}
    _check_one_magnitude(weights)
    tensors = tuple(signed_tensor(layer, weight, seed) for layer, weight in weights.items())
    for tensor in tensors:
        if not np.array_equal(tensor.weights(seed), weights[tensor.name]):
            raise RecycleError(f"layer {tensor.name} does not rebuild; this is a bug, please report it")
    rest = {f"{layer}.weight" for layer in masked}
    return Held(tensors, {name: array for name, array in arrays.items() if name not in rest})


def signed_tensor(layer: str, weight: NDArray[np.float32], seed: int) -> MaskedTensor:
    """A layer whose weights are 0 or +-g: mask, gain g, and flips where the seed's signs are others.

    Args:
        layer: its name.
        weight: any shape.
        seed: of the signs.
    """
    mask = weight != 0
    kept = np.flatnonzero(mask)
    values = weight.reshape(-1)[kept]
    gain = np.float32(np.abs(values[0]) if kept.size else 0.0)
    flips = np.signbit(values) ^ signs_at(stream_key(seed, layer), kept)
    scale = gain if gain else np.float32(1.0)  # not read, and never 0
    return MaskedTensor(layer, "signed_constant", scale, mask, gain, flips=flips)


def _check_one_magnitude(weights: Mapping[str, NDArray[np.float32]]) -> None:
    faults = []
    for layer, weight in weights.items():
        magnitudes = np.unique(np.abs(weight[weight != 0]))
        if magnitudes.size > 1:
            faults.append(
                f"{layer}: {magnitudes.size:,} magnitudes from {magnitudes[0]:g} to {magnitudes[-1]:g}"
            )
    if not faults:
        return
    lines = faults[:SHOWN] + ([f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])
    raise UsageFault(
        "a ticket cannot hold these layers:\n  " + "\n  ".join(lines) + "\n"
        "it stores a mask, a sign for each kept weight and one gain g for the layer, so kept weights must "
        "be +g or -g. Others, trained or drawn by another generator, follow from no seed of this tool. What "
        "helps:\n"
        "  a file of Biprop's with scores: give --method biprop\n"
        "  a few layers left dense, as first and last ones often are: give --unmasked LAYER for each; "
        "they are stored as they are, 32 bits a weight\n"
        "  otherwise: search a subnetwork here (`recycle-pipeline search`), or ship the weights as they are"
    )
