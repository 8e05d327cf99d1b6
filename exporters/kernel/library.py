"""The compiled kernels by themselves, without ONNX Runtime: what a packed network is, and what it gives."""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import CorruptArtefact, RecycleError
from recycle_pipeline.models.kernel_library import library_path

MESSAGE = 256  # bytes of a reason
NO_MEMORY = "no memory for the images of a network: expected a smaller one"
PATHS = ("portable", "avx2", "avx512", "avx512vbmi", "avx512mixed", "neon")


@dataclass(frozen=True)
class Counts:
    """What a packed network comes to.

    Attributes:
        weights: kept ones.
        narrow: output channels whose sums are proved to fit 16 bits.
        chunked: others, summed in parts of which each is.
        workspace: bytes that a call takes for its images.
        steps: convolutions, with what is added to them, and poolings.
    """

    weights: int
    narrow: int
    chunked: int
    workspace: int
    steps: int


class Kernels:
    """A packed network, ready to run. A context: what it holds is freed with it.

    Raises:
        PackageMissing: the library is not there.
        CorruptArtefact: the network is not sound.
        RecycleError: this processor has not that path.
    """

    def __init__(self, content: bytes, path: str | None = None) -> None:
        """Opens it.

        Args:
            content: as `packed` gives it.
            path: one of `PATHS`; None for the fastest that this processor has.
        """
        self._library = _opened(library_path())
        why = ctypes.create_string_buffer(MESSAGE)
        name = None if path is None else path.encode()
        self._runner = self._library.recycle_open(content, len(content), name, why)
        if not self._runner:
            reason = why.value.decode()
            if "this processor" in reason:
                raise RecycleError(f"{reason}; expected one of {', '.join(PATHS)} that it has")
            raise CorruptArtefact(f"the packed network is damaged: {reason}. Export it again.")
        shape = (ctypes.c_uint32 * 6)()
        self._library.recycle_shape(self._runner, shape)
        self.source, self.target = tuple(shape[:3]), tuple(shape[3:])
        single = self._library.recycle_number(self._runner) == 1
        self.dtype = np.dtype(np.uint8 if single else np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.recycle_close(self._runner)

    @property
    def counts(self) -> Counts:
        found = (ctypes.c_uint64 * 5)()
        self._library.recycle_counts(self._runner, found)
        return Counts(*found)

    def times(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Seconds that each step takes of one image, (1, C, H, W), for measurements."""
        self._require(image)
        seconds = np.empty(self.counts.steps)
        image = np.ascontiguousarray(image[:1])
        if not self._library.recycle_time(self._runner, image.ctypes.data, seconds.ctypes.data):
            raise RecycleError(NO_MEMORY)
        return seconds

    def run(self, images: NDArray[Any], threads: int = 1) -> NDArray[Any]:
        """(N, C, H, W) to (N, K, P, Q), the same for any number of threads; any number of calls at a time.

        Of `dtype`: uint8, or float32 where the network's numbers are.
        """
        self._require(images)
        images, found = np.ascontiguousarray(images), np.empty((len(images), *self.target), self.dtype)
        team = self._library.recycle_team(self._runner, images.ctypes.data, found.ctypes.data, len(images))
        if not team:
            raise RecycleError(NO_MEMORY)
        others = [Thread(target=self._library.recycle_take_part, args=(team, i)) for i in range(1, threads)]
        for each in others:
            each.start()
        self._library.recycle_take_part(team, 0)
        for each in others:
            each.join()
        if not self._library.recycle_disband(team):
            raise RecycleError(NO_MEMORY)
        return found

    @property
    def known(self) -> int:
        """The most threads that have taken part in one call so far; 1 before the first."""
        return int(self._library.recycle_known(self._runner))

    def _require(self, images: NDArray[Any]) -> None:
        if images.dtype != self.dtype or images.shape[1:] != self.source:
            expected = f"{self.dtype} (N, *{self.source})"
            raise RecycleError(f"{images.dtype} {images.shape} was given; expected {expected}")


@cache
def _opened(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    library.recycle_open.restype = ctypes.c_void_p
    library.recycle_open.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_char_p]
    library.recycle_close.argtypes = [ctypes.c_void_p]
    library.recycle_close.restype = None
    for name in ("recycle_shape", "recycle_counts"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        getattr(library, name).restype = None
    library.recycle_number.restype = ctypes.c_uint32
    library.recycle_number.argtypes = [ctypes.c_void_p]
    library.recycle_time.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.recycle_team.restype = ctypes.c_void_p
    library.recycle_team.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.recycle_take_part.restype = None
    library.recycle_take_part.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.recycle_disband.argtypes = [ctypes.c_void_p]
    library.recycle_known.argtypes = [ctypes.c_void_p]
    return library
