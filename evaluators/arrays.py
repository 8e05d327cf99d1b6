"""Names of the types that models and splits are passed as."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Logits = npt.NDArray[np.float32]  # (N, K)
Predict = Callable[[Array], Array]  # (b, ...) images to (b, K) logits


class Split(Protocol):
    """Images (N, ...) that are asked for in slices: an array, or what reads a slice at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Array: ...
