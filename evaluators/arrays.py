"""Names of the types that models and splits are passed as."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Logits = npt.NDArray[np.float32]  # (N, K)
Predict = Callable[[Array], Array]  # (b, ...) images to (b, K) logits
