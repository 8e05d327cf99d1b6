"""The images of a large set, which stay in a file: for training and for the test split."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recycle_pipeline.pipeline.data.image_set import Images, ImageSet
from recycle_pipeline.pipeline.data.stored_images import StoredImages
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.distributed import ALONE, World
from recycle_pipeline.pipeline.search.feeder import Feeder

EVALUATED_SLOTS = 3  # batches of the test split are larger, and take the device less time


def training_images(
    images: ImageSet, device: torch.device, seed: int, batch_size: int, world: World = ALONE
) -> TrainingImages:
    """The training split on the device, or fed to it where the images stay in a file.

    Both give the same batches. Arguments are those of `TrainingImages`, and images per step and process.
    """
    if images.streams:
        return StreamedImages(images, device, seed, batch_size, world)
    return TrainingImages(images, device, seed, world)


class StreamedImages(TrainingImages):
    """The training split in a file, of which the device holds the batch that is due and a few to come.

    Within `feeding`, call `stage` before each `batch`.

    Args:
        images: the data set; it streams.
        device: where batches are made.
        seed: of shuffling and augmentation.
        batch_size: images per step and process.
        world: the processes among which batches are divided; each reads its own share.
    """

    def __init__(
        self, images: ImageSet, device: torch.device, seed: int, batch_size: int, world: World = ALONE
    ) -> None:
        super().__init__(images, device, seed, world)
        self._batch_size = batch_size
        largest = max(world.share(size).count for size in self.batch_sizes(batch_size))
        self._feeder = Feeder(cast(StoredImages, images.train_images), device, largest)

    def feeding(self) -> AbstractContextManager[None]:
        """Reads the present epoch's batches while it lasts."""
        order, batches, start = self._order.cpu().numpy(), [], 0
        for size in self.batch_sizes(self._batch_size):
            batches.append(order[start : start + size][self._world.share(size).slice])
            start += size
        return self._feeder.feeding(batches)

    def stage(self) -> None:
        """Has the next batch's images on the device."""
        self._feeder.stage()

    def _hold(self, images: ImageSet) -> None:
        """Nothing: the feeder brings them."""

    def _padded_rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        staged = self._feeder.staged[: len(chosen)]
        pad = self._pad
        rows = torch.arange(len(chosen), device=chosen.device)
        return torch.nn.functional.pad(staged, (pad, pad, pad, pad)), rows


class EvaluatedImages(Protocol):
    """Images that are looked at in order, in batches of one size.

    Within `feeding`, call `stage` before each batch.
    """

    def feeding(self) -> AbstractContextManager[None]:
        """Brings them from the first on while it lasts."""

    def stage(self) -> None:
        """Has the next batch on the device."""

    def pixels(self, positions: Tensor) -> Tensor:
        """The images at the next positions, (n,) int64: (n, C, S, S) uint8; beyond the last, any image."""


def evaluated_images(images: Images, device: torch.device, batch_size: int) -> EvaluatedImages:
    """Images on the device, or fed to it where they stay in a file."""
    if isinstance(images, StoredImages):
        return _StreamedSplit(images, device, batch_size)
    return _ResidentSplit(images, device)


class _ResidentSplit:
    """See `EvaluatedImages`."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device) -> None:
        self._pixels = torch.from_numpy(images).to(device)

    def feeding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stage(self) -> None:
        """Nothing: all are there."""

    def pixels(self, positions: Tensor) -> Tensor:
        return self._pixels[positions]


class _StreamedSplit:
    """See `EvaluatedImages`."""

    def __init__(self, images: StoredImages, device: torch.device, batch_size: int) -> None:
        self._feeder = Feeder(images, device, batch_size, EVALUATED_SLOTS)
        starts = range(0, len(images), batch_size)
        self._batches = [np.arange(start, min(start + batch_size, len(images))) for start in starts]

    def feeding(self) -> AbstractContextManager[None]:
        return self._feeder.feeding(self._batches)

    def stage(self) -> None:
        self._feeder.stage()

    def pixels(self, positions: Tensor) -> Tensor:
        return self._feeder.staged
