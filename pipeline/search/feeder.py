"""Batches of images from a file to the device, read and copied ahead of the steps that take them.

A batch passes through a slot: a thread reads it into pinned memory and has it copied to the slot's part of
the device on a stream of its own; `stage` then moves it to the one place where steps look, `staged`, which
a captured graph may hold. Slots are used in turn, and events keep the two streams apart.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recycle_pipeline.pipeline.data.stored_images import StoredImages

SLOTS = 6  # batches under way; as many threads read: a cold disk needs them, not the processor


class Feeder:
    """Feeds batches of images in a given order. No thread lives outside `feeding`.

    Args:
        images: (N, C, S, S).
        device: where batches go.
        capacity: images in the largest batch.
        slots: batches that may be under way.

    Attributes:
        staged: (capacity, C, S, S) uint8 on the device; the present batch is in its beginning.
    """

    def __init__(self, images: StoredImages, device: torch.device, capacity: int, slots: int = SLOTS) -> None:
        shape = (capacity, *images.shape[1:])
        self._images = images
        self.staged = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._slots: list[_HostSlot] | list[_CudaSlot]
        if device.type == "cuda":
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._slots = [_CudaSlot(shape, device, stream) for _ in range(slots)]
            stream.wait_stream(torch.cuda.current_stream(device))  # slots may lie in memory that is in use
        else:
            self._slots = [_HostSlot(shape) for _ in range(slots)]
        self._under_way: deque[Future[None]] = deque()

    @contextmanager
    def feeding(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[None]:
        """While it lasts, `stage` brings one of these batches after the other.

        Args:
            batches: positions of the images, (n,) each, n at most the capacity.
        """
        self._batches, self._staged, self._under_way = batches, 0, deque()
        self._pool = ThreadPoolExecutor(len(self._slots), "images")
        try:
            for number in range(min(len(self._slots), len(batches))):
                self._start(number)
            yield
        finally:
            self._pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C; else nothing is left
            self._under_way.clear()

    def stage(self) -> None:
        """Has the next batch in `staged`, for work that is put on the present stream from now on.

        Raises:
            CorruptArtefact: it could not be read.
        """
        number = self._staged
        self._under_way.popleft().result()
        self._slot(number).move_to(self.staged, len(self._batches[number]))
        self._staged += 1
        if (later := number + len(self._slots)) < len(self._batches):
            self._start(later)  # not before: the slot's present content had to be moved first

    def _start(self, number: int) -> None:
        fill, positions = self._slot(number).fill, self._batches[number]
        self._under_way.append(self._pool.submit(fill, self._images, positions))

    def _slot(self, number: int) -> "_HostSlot | _CudaSlot":
        return self._slots[number % len(self._slots)]


class _HostSlot:
    """A slot where the device is the CPU."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._pixels = torch.empty(shape, dtype=torch.uint8)

    def fill(self, images: StoredImages, positions: NDArray[np.int64]) -> None:
        images.read(positions, self._pixels[: len(positions)].numpy())

    def move_to(self, staged: Tensor, count: int) -> None:
        staged[:count].copy_(self._pixels[:count])


class _CudaSlot:
    """A slot in pinned memory and on a GPU, with the stream that copies from one to the other.

    `fill` is called by a thread, after `move_to` returned for the content before.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device, stream: torch.cuda.Stream) -> None:
        self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._pixels = torch.empty(shape, dtype=torch.uint8, device=device)
        self._pixels.record_stream(stream)
        self._stream = stream
        # Never recorded, an event has passed. A thread that waits for `arrived` sleeps.
        self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._moved = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def fill(self, images: StoredImages, positions: NDArray[np.int64]) -> None:
        count = len(positions)
        self._arrived.synchronize()  # what pinned memory held before is on the device
        images.read(positions, self._host[:count].numpy())
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._moved)
            self._pixels[:count].copy_(self._host[:count], non_blocking=True)
            self._arrived.record(self._stream)

    def move_to(self, staged: Tensor, count: int) -> None:
        present = torch.cuda.current_stream(staged.device)
        present.wait_event(self._arrived)
        staged[:count].copy_(self._pixels[:count], non_blocking=True)
        self._moved.record(present)
