"""Looking at numbers that a device adds to, now and then, without waiting for it."""

import time

import torch
from torch import Tensor

SECONDS = 0.2  # from look to look: what people read; a look is a copy of a few bytes


class Glimpse:
    """The values of a small tensor as they were a moment ago.

    On CUDA a copy to pinned memory is put behind the work that is launched by then, and read once its event
    has passed: nothing waits, neither the CPU nor the device.

    Args:
        tensor: on the device where work adds to it, on the present stream.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._copy = (
            torch.zeros(tensor.shape, dtype=tensor.dtype, pin_memory=True) if tensor.is_cuda else None
        )
        self._passed: torch.cuda.Event | None = None  # of the copy under way
        self._due = 0.0

    def look(self) -> list[float] | None:
        """Call it after each launch; returns the values where a look is due and they have come."""
        if self._passed is None and time.monotonic() < self._due:
            return None
        if self._copy is None:
            return self._seen(self._tensor)
        if self._passed is None:
            self._copy.copy_(self._tensor, non_blocking=True)
            self._passed = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._passed.record()
        if not self._passed.query():  # type: ignore[no-untyped-call]
            return None
        self._passed = None
        return self._seen(self._copy)

    def _seen(self, tensor: Tensor) -> list[float]:
        self._due = time.monotonic() + SECONDS
        values: list[float] = tensor.tolist()
        return values
