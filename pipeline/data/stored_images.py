"""Decoded images that stay in a file: an array (N, C, S, S) of which only what is asked for is read.

Read with preadv, not through a memory map: many times as fast as training takes them, and a disk that fails
or a file that was cut short is an error with a message, not a bus error.
"""

import os
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import CorruptArtefact

Index = slice | NDArray[np.int64]
_CHUNK = 16 << 20  # bytes that `chunks` reads at once; two are held for a moment


class StoredImages:
    """Images in a file of raw uint8, in C order; threads may read at the same time.

    Indexing with a slice or an array of positions chooses images without reading them, in the order given;
    `numpy.asarray` reads what has been chosen.

    Args:
        path: The file. It is opened now and stays open, so that deleting it does no harm.
        shape: (N, C, S, S) of the whole file.

    Raises:
        OSError: The file cannot be opened.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path = path
        self._image = shape[1:]
        self._size = shape[1] * shape[2] * shape[3]
        self._rows = np.arange(shape[0], dtype=np.int64)
        self._file = _File(path)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self._image)

    @property
    def nbytes(self) -> int:
        return len(self) * self._size

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Index) -> "StoredImages":
        chosen = object.__new__(StoredImages)
        chosen.__dict__.update(self.__dict__)
        chosen._rows = self._rows[index]
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        pixels = np.empty(self.shape, dtype=np.uint8)
        self.read(np.arange(len(self)), pixels)
        return pixels.astype(dtype or self.dtype, copy=False)

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """All images, some megabytes at a time."""
        step = max(1, _CHUNK // self._size)
        for start in range(0, len(self), step):
            yield np.asarray(self[start : start + step])

    def read(self, positions: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        """Reads the images at these positions, (n,), into `pixels`, (n, C, S, S), contiguous.

        Raises:
            CorruptArtefact: The file is shorter than it was, or the disk fails.
        """
        rows = self._rows[positions]
        view = pixels.reshape(-1).data
        starts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]  # of runs in the file
        for start, stop in pairwise(starts):
            if start < stop:
                self._file.read(int(rows[start]) * self._size, view[start * self._size : stop * self._size])


class _File:
    """A file open for reading at any place by any thread; closed when nobody holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._number)

    def __reduce__(self) -> tuple[type["_File"], tuple[Path]]:
        return _File, (self._path,)  # opened anew by the process that gets it

    def read(self, offset: int, into: memoryview) -> None:
        done = 0
        while done < len(into):
            try:
                count = os.preadv(self._number, [into[done:]], offset + done)
            except OSError as error:
                raise self._fault(error.strerror or str(error)) from error
            if count == 0:
                raise self._fault("it ends too early")
            done += count

    def _fault(self, reason: str) -> CorruptArtefact:
        return CorruptArtefact(
            f"decoded images cannot be read from {self._path}: {reason}; expected the file as it was "
            "written; delete it, and the next run decodes the images again"
        )
