"""Plain weights as a file of torch's own."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_bytes
from recycle_pipeline.exporters.weights import plain_array


def write_state_dict(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    """Writes a network's state by state name, atomically: tensors alone, equal bytes for equal arrays.

    `load_state_dict(torch.load(path, weights_only=True))` reads it.

    Raises:
        OSError: the file cannot be written.
    """
    content = io.BytesIO()  # given a path, torch would store its temporary name inside
    torch.save({name: torch.from_numpy(plain_array(array).copy()) for name, array in arrays.items()}, content)
    write_bytes(path, content.getvalue())
