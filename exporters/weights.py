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
    write_bytes(path, safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
