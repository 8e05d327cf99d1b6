"""Images that stay on the device: shuffled, cropped, flipped, normalised and perhaps cut there."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.distributed import ALONE, World


class TrainingImages:
    """The training split of an image set on a device.

    What is random (order, crops, flips, noise, cutouts) is drawn for a whole epoch at once into fixed
    tensors: a batch is a pure function of its positions in the epoch and may be part of a captured graph.

    Args:
        images: the data set.
        device: where it stays.
        seed: of shuffling and augmentation.
        world: the processes among which batches are divided; all draw the same order.
    """

    def __init__(self, images: ImageSet, device: torch.device, seed: int, world: World = ALONE) -> None:
        self._world = world
        self._labels = torch.from_numpy(images.train_labels).to(device)
        self._pad, self._flip = images.augmentation.pad, images.augmentation.flip
        self._channels, self._side = images.channels, images.image_size
        self._hold(images)
        self._normalise = Normalise(images, device)
        self._generator = torch.Generator(device).manual_seed(seed)
        count = len(self._labels)
        self._order = torch.arange(count, device=device)
        self._shifts = torch.zeros(2, count, dtype=torch.int64, device=device)
        self._mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self._noise_std = images.augmentation.noise
        noisy = images.train_images.shape if self._noise_std else (0,)
        self._noise = torch.zeros(noisy, device=device)
        self._cutout = images.augmentation.cutout
        self._centres = torch.zeros(2, count if self._cutout else 0, dtype=torch.int64, device=device)

    def _hold(self, images: ImageSet) -> None:
        pixels = torch.from_numpy(images.train_images).to(self._labels.device)
        self._padded = torch.nn.functional.pad(pixels, (self._pad,) * 4)  # (N, C, S + 2 pad, S + 2 pad)

    def __len__(self) -> int:
        return len(self._labels)

    def batch_sizes(self, batch_size: int) -> list[int]:
        """Images of each step of an epoch, of all processes together.

        The last batch may be smaller, but never a single image of a process: batch norm takes two.

        Args:
            batch_size: images per step and process.

        Raises:
            UsageFault: there are fewer than two images per process.
        """
        processes = self._world.size
        if processes > 1 and len(self) < 2 * processes:
            raise UsageFault(
                f"{processes} processes cannot share {len(self)} training images: each takes at least two; "
                "start fewer"
            )
        full, rest = divmod(len(self), batch_size * processes)
        return [batch_size * processes] * full + ([rest] if rest >= 2 * processes or full == 0 else [])

    def begin_epoch(self) -> None:
        """Draws the order, the crops, the flips, the noise and the cutouts of the next epoch."""
        count, device, generator = len(self), self._labels.device, self._generator
        self._order.copy_(torch.randperm(count, generator=generator, device=device))
        self._shifts.copy_(torch.randint(2 * self._pad + 1, (2, count), generator=generator, device=device))
        self._mirrored.copy_(torch.rand(count, generator=generator, device=device) < 0.5)
        self._noise.normal_(generator=generator).mul_(self._noise_std)
        if self._cutout:
            self._centres.copy_(torch.randint(self._side, (2, count), generator=generator, device=device))

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions, (n,) int64, of the present epoch's order.

        Returns:
            (n, C, S, S) float32, normalised, and (n,) int64 labels.
        """
        chosen = self._order[positions]
        rows, columns = self._shifts[:, positions, None]  # (n, 1) each
        line = torch.arange(self._side, device=positions.device).expand(len(positions), -1)  # (n, S)
        across = line
        if self._flip:
            across = torch.where(self._mirrored[positions, None], self._side - 1 - line, line)
        channels = torch.arange(self._channels, device=positions.device)[None, :, None, None]
        down, across = (line + rows)[:, None, :, None], (across + columns)[:, None, None, :]
        padded, which = self._padded_rows(chosen)
        pixels = padded[which[:, None, None, None], channels, down, across]
        noise = self._noise[positions] if self._noise_std else None
        images = self._normalise(pixels, noise)
        if self._cutout:
            from_corner = line - self._centres[:, positions, None] + self._cutout // 2  # (2, n, S)
            inside = (from_corner >= 0) & (from_corner < self._cutout)
            images = images.masked_fill(inside[0, :, None, :, None] & inside[1, :, None, None, :], 0.0)
        return images, self._labels[chosen]

    def _padded_rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Padded images, and where among them those of the present batch are: (n,)."""
        return self._padded, chosen

    def feeding(self) -> AbstractContextManager[None]:
        """An epoch's steps are done within it; see `streamed.StreamedImages`."""
        return nullcontext()

    def stage(self) -> None:
        """Call it before each step of an epoch, in order; nothing to do where all images are there."""

    def epoch(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Draws an epoch and yields this process's shares of its batches."""
        self.begin_epoch()
        positions = torch.arange(len(self), device=self._labels.device)
        start = 0
        with self.feeding():
            for size in self.batch_sizes(batch_size):
                self.stage()
                yield self.batch(positions[start : start + size][self._world.share(size).slice])
                start += size

    def random_state(self) -> Tensor:
        """Of the generator, (n,) uint8 on the CPU: what the next epoch's draws follow from."""
        return self._generator.get_state()

    def set_random_state(self, state: Tensor) -> None:
        self._generator.set_state(state)


class Normalise:
    """uint8 (n, C, S, S), and perhaps noise like it, to float32 (pixels / 255 + noise - mean) / std."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self._mean = torch.tensor(images.mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(images.std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        shares = pixels.to(torch.float32) / 255.0
        return ((shares if noise is None else shares + noise) - self._mean) / self._std
