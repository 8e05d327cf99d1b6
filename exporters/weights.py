"""Plain weights as a safetensors file, for other tools."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_bytes


def write_weights(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    """Writes a network's state by state name, atomically.

    `load_state_dict(safetensors.torch.load_file(path), strict=False)` reads it.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, safetensors.numpy.save({name: plain_array(array) for name, array in arrays.items()}))


def plain_array(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same values in C order and little-endian, as safetensors reads memory; () stays ()."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")
