"""Pictures of real masks: a corner of some layers, a mark for each weight that is kept."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork
from recycle_pipeline.pipeline.report.words import percent
from recycle_pipeline.pipeline.wording import printable

LAYERS, SIDE = 6, 72  # shown; marks along a side, so that six pictures take some ten kilobytes each
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class MaskPicture:
    """A corner of a layer's mask.

    Attributes:
        layer: its name.
        svg: an <svg> element, without its role and label.
        alt: what it shows, in numbers.
        shows: which part that is.
    """

    layer: str
    svg: str
    alt: str
    shows: str


def mask_pictures(subnetwork: Subnetwork) -> list[MaskPicture]:
    """Some layers, evenly over the depth, the first and the last among them."""
    tensors = [tensor for tensor in subnetwork.tensors if tensor.mask.size]
    wanted = np.linspace(0, len(tensors) - 1, min(LAYERS, len(tensors))).round().astype(int)
    return [_picture(tensors[index]) for index in dict.fromkeys(wanted.tolist())]


def _picture(tensor: MaskedTensor) -> MaskPicture:
    name = printable(tensor.name)
    mask, moved = blocks(tensor.mask), blocks(_moved(tensor))
    corner, rows, inputs = _corner(mask)
    corner_moved = _corner(moved)[0]
    kept, changed = int(np.count_nonzero(corner)), int(np.count_nonzero(corner_moved))
    filters, all_inputs, height, width = mask.shape
    kernel = f", kernels of {height}\u00a0x\u00a0{width}" if height * width > 1 else ""
    part = f"{min(rows, filters):,} of {filters:,} filters and {inputs:,} of {all_inputs:,} inputs{kernel}"
    return MaskPicture(
        name,
        _svg(corner & ~corner_moved, corner_moved, (height, width)),
        f"Mask of {name}: of the {corner.size:,} weights shown {kept:,} are kept "
        f"({percent(kept / corner.size)}), {changed:,} of them moved.",
        part,
    )


def blocks(bits: Bits) -> Bits:
    """(filters, inputs, height, width), whatever the rank of the weight: (O, I, ...) or (O,)."""
    (filters, inputs), kernel = (*bits.shape, 1)[:2], bits.shape[2:]
    height, width = kernel if len(kernel) == 2 else (1, math.prod(kernel))
    return bits.reshape(filters, inputs, height, width)


def _moved(tensor: MaskedTensor) -> Bits:
    found = np.zeros(tensor.mask.shape, bool)
    bits = tensor.moved_bits()
    if bits is not None:
        found[tensor.mask] = bits
    return found


def _corner(kernels: Bits) -> tuple[Bits, int, int]:
    """At most `SIDE` x `SIDE` of the first filters and inputs; and how many of each.

    A row holds a filter's kernels, side by side; of filters with few inputs, several filters.
    """
    filters, inputs, height, width = kernels.shape
    taken = max(1, min(inputs, SIDE // width))
    across = max(1, min(SIDE // (taken * width), math.ceil(math.sqrt(filters * height / (taken * width)))))
    down = max(1, min(math.ceil(filters / across), SIDE // height))
    shown = min(filters, across * down)
    across = min(across, shown)
    down = math.ceil(shown / across)
    grid = np.zeros((across * down, taken, height, width), bool)
    grid[:shown] = kernels[:shown, :taken]
    picture = grid.reshape(down, across, taken, height, width).transpose(0, 3, 1, 2, 4)
    return picture.reshape(down * height, across * taken * width)[:SIDE, :SIDE], shown, taken


def _svg(own: Bits, moved: Bits, kernel: tuple[int, int]) -> str:
    height, width = own.shape
    frame = "".join(f"M0 {y}h{width}" for y in range(0, height + 1, max(kernel[0], 1)) if kernel[0] > 1)
    frame += "".join(f"M{x} 0v{height}" for x in range(0, width + 1, max(kernel[1], 1)) if kernel[1] > 1)
    lines = f'<path d="{frame}" stroke="var(--line)" stroke-width=".08"/>' if frame else ""
    marks = "".join(
        f'<path d="{path}" stroke="var(--{colour})" shape-rendering="crispEdges"/>'
        for colour, path in (("ink", _runs(own)), ("c", _runs(moved)))
        if path
    )
    return (
        f'<svg class="mask" viewBox="0 0 {width} {height}" fill="none" style="--w:{width}">{lines}'
        f'<g transform="translate(0 .5)">{marks}</g></svg>'
    )


def _runs(bits: Bits) -> str:
    """A path along each run of set bits of each row."""
    return "".join(f"M{start} {y}h{length}" for y, row in enumerate(bits) for start, length in _of_row(row))


def _of_row(row: Sequence[bool] | Bits) -> Iterator[tuple[int, int]]:
    steps = np.diff(np.concatenate([[0], np.asarray(row, np.int8), [0]]))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    yield from zip(starts.tolist(), (ends - starts).tolist(), strict=True)
