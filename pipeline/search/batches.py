"""Images that stay on the device: shuffled, cropped, flipped and normalised there."""

from collections.abc import Iterator

import torch
from torch import Tensor

from recycle_pipeline.pipeline.data.image_set import ImageSet


class TrainingImages:
    """The training split of an image set on a device.

    Random crops after zero padding and horizontal flips are one gather per batch.

    Args:
        images: the data set.
        device: where it stays.
        seed: of shuffling and augmentation.
    """

    def __init__(self, images: ImageSet, device: torch.device, seed: int) -> None:
        pad = images.augmentation.pad
        pixels = torch.from_numpy(images.train_images).to(device)
        self._padded = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))  # (N, C, S + 2 pad, S + 2 pad)
        self._labels = torch.from_numpy(images.train_labels).to(device)
        self._pad, self._flip, self._side = pad, images.augmentation.flip, images.image_size
        self._normalise = Normalise(images, device)
        self._generator = torch.Generator(device).manual_seed(seed)

    def batches_per_epoch(self, batch_size: int) -> int:
        """Steps of one epoch; the last batch may be smaller, but never a single image."""
        full, rest = divmod(len(self._labels), batch_size)
        return full + (1 if rest > 1 or full == 0 else 0)

    def epoch(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (images, labels): (n, C, S, S) float32 normalised, (n,) int64."""
        order = torch.randperm(len(self._labels), generator=self._generator, device=self._labels.device)
        for step in range(self.batches_per_epoch(batch_size)):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            yield self._normalise(self._augmented(chosen)), self._labels[chosen]

    def _augmented(self, chosen: Tensor) -> Tensor:
        count, device = len(chosen), chosen.device
        shifts = torch.randint(2 * self._pad + 1, (2, count, 1), generator=self._generator, device=device)
        line = torch.arange(self._side, device=device).expand(count, -1)  # (n, S)
        columns = line
        if self._flip:
            flipped = torch.rand(count, 1, generator=self._generator, device=device) < 0.5
            columns = torch.where(flipped, self._side - 1 - line, line)
        rows = (line + shifts[0])[:, None, :, None]
        columns = (columns + shifts[1])[:, None, None, :]
        channels = torch.arange(self._padded.shape[1], device=device)[None, :, None, None]
        return self._padded[chosen[:, None, None, None], channels, rows, columns]


class Normalise:
    """uint8 (n, C, S, S) to float32 (pixels / 255 - mean) / std of the data set."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self._mean = torch.tensor(images.mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(images.std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        return (pixels.to(torch.float32) / 255.0 - self._mean) / self._std
