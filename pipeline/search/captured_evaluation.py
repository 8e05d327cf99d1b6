"""The evaluation of the captured engine: a batch of images of the test split in a CUDA graph."""

import torch
from torch import Tensor, nn

from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import Normalise
from recycle_pipeline.pipeline.search.distributed import World
from recycle_pipeline.pipeline.search.eager import laid_out
from recycle_pipeline.pipeline.search.graphs import Recorder, Work, tuned
from recycle_pipeline.pipeline.search.precision import mixed, number_type
from recycle_pipeline.pipeline.search.settings import SearchSettings
from recycle_pipeline.pipeline.search.streamed import evaluated_images

EVALUATION_BATCH = 500  # images at most; more are no faster and take more memory than training


class CapturedEvaluation:
    """Counts right answers of a network; each process those of its share.

    Args:
        network: computes in the numbers of training; in eval mode as this is recorded and run.
        images: for the test split.
        settings: of the search.
        device: where.
        world: the processes that search together.
    """

    def __init__(
        self,
        network: nn.Module,
        images: ImageSet,
        settings: SearchSettings,
        device: torch.device,
        world: World,
    ) -> None:
        self._network, self._device, self._world = network, device, world
        self._number = number_type(settings.precision, device)
        self._tested = world.share(len(images.test_labels))
        part = self._tested.slice if self._tested.count else slice(1)  # a graph needs an image to look at
        self._labels = torch.from_numpy(images.test_labels[part]).to(device)
        # Images take less here than in training, which keeps what its backward pass needs.
        self._at_once = min(EVALUATION_BATCH, 4 * settings.batch_size, len(self._labels))
        self._images = evaluated_images(images.test_images[part], device, self._at_once)
        self._normalise = Normalise(images, device)
        self._correct, self._cursor = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self.launch: Work = self._batch

    def record(self, recorder: Recorder) -> None:
        """Captures a batch's work; cuDNN chooses its algorithms for it."""
        with tuned():
            self.launch = recorder.record(self._batch, self._rewind, self._rewind)

    def accuracy(self) -> float:
        """Top-1 fraction over all processes' images."""
        self._rewind()
        self._correct.zero_()
        with self._images.feeding():
            for _ in range(-(-self._tested.count // self._at_once)):
                self._images.stage()
                self.launch()
        return int(self._world.sum(self._correct)) / self._tested.whole

    def _rewind(self) -> None:
        self._cursor.zero_()

    @torch.no_grad()
    def _batch(self) -> None:
        positions = self._cursor + torch.arange(self._at_once, device=self._device)
        chosen = positions.clamp(max=len(self._labels) - 1)
        with mixed(self._number, self._device):
            logits = self._network(laid_out(self._normalise(self._images.pixels(chosen))))
        right: Tensor = (logits.argmax(1) == self._labels[chosen]) & (positions < self._tested.count)
        self._correct += right.sum()
        self._cursor += self._at_once
