"""The plain engine: exact masks in every step, one operation after the other; deterministic on CPU."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import Normalise, TrainingImages
from recycle_pipeline.pipeline.search.distributed import ALONE, World
from recycle_pipeline.pipeline.search.glimpse import Glimpse
from recycle_pipeline.pipeline.search.memory import memory_of, other_names, remind, score_names
from recycle_pipeline.pipeline.search.optimizer import optimizer_of
from recycle_pipeline.pipeline.search.precision import mixed, multiplying, number_type
from recycle_pipeline.pipeline.search.settings import SearchSettings, learning_rate_at
from recycle_pipeline.pipeline.search.steps import EpochSums, StepHooks
from recycle_pipeline.pipeline.search.tiny_images import tiny_images
from recycle_pipeline.pipeline.search.watch import NEVER, Watch

EVALUATION_BATCH = 512


class EagerSteps:
    """See `Steps`.

    Args:
        masked: the network under search.
        training: its images, on its device.
        images: for the test split.
        settings: of the search.
        world: the processes that search together.
    """

    def __init__(
        self,
        masked: MaskedNetwork,
        training: TrainingImages,
        images: ImageSet,
        settings: SearchSettings,
        world: World = ALONE,
    ) -> None:
        self._masked, self._training, self._images, self._settings = masked, training, images, settings
        self._world = world
        self.optimizer = optimizer_of([*masked.scores, *masked.others], settings)
        self._device = masked.scores[0].device
        self._number = number_type(settings.precision, self._device)

    def train_epoch(self, epoch: int, prune: float, hooks: StepHooks) -> EpochSums:
        """See `Steps`."""
        masked, settings = self._masked, self._settings
        masked.network.train()
        sizes, world = self._training.batch_sizes(settings.batch_size), self._world
        steps = len(sizes)
        sums = torch.zeros(3, dtype=torch.float64, device=self._device)  # loss, correct, images
        glimpse = Glimpse(sums)
        bad = torch.full((), NEVER, device=self._device)
        watch = Watch(masked.scores, bad, epoch * steps, world)
        for index, (batch, labels) in enumerate(self._training.epoch(settings.batch_size)):
            step = epoch * steps + index
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(settings, step, steps)
            masked.refresh(prune)
            if hooks.event_due(step):
                hooks.event(step)
                masked.refresh(prune)
            with multiplying(settings.precision), tiny_images(masked.network):
                with mixed(self._number, batch.device):
                    logits = masked.network(laid_out(batch))
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
                self.optimizer.zero_grad()
                world.weighted(loss, world.share(sizes[index])).backward()  # type: ignore[no-untyped-call]
            world.sum_gradients([*masked.scores, *masked.others])
            self.optimizer.step()
            sums += step_sums(loss.detach(), logits.detach(), labels)
            bad.copy_(torch.where(loss.detach().isfinite(), bad, bad.clamp(max=step)))
            if seen := glimpse.look():
                hooks.seen(seen)
            hooks.done(step + 1)
            if watch.stops(step):
                break
        masked.refresh(prune)
        return epoch_sums(world.sum(sums), world.least(bad), watch.span(step))

    def evaluate(self) -> float:
        """See `Steps`; in float32."""
        return evaluate(self._masked.network, self._images, self._device, self._world)

    def memory(self) -> dict[str, Tensor]:
        """See `Steps`."""
        return memory_of(self.optimizer, score_names(self._masked) | other_names(self._masked))

    def carried(self) -> dict[str, Tensor]:
        """See `Steps`: nothing, masks are exact in every step."""
        return {}

    def remember(self, memory: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> None:
        """See `Steps`."""
        remind(self.optimizer, score_names(self._masked) | other_names(self._masked), memory)

    def release(self) -> None:
        """See `Steps`: nothing."""


@torch.no_grad()
def evaluate(network: nn.Module, images: ImageSet, device: torch.device, world: World = ALONE) -> float:
    """Top-1 fraction on the test split, in float32, with the network in eval mode; each process a share."""
    network.eval()
    normalise = Normalise(images, device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # by default float32 is TF32 there
        mine = world.share(len(images.test_labels)).slice
        for start in range(mine.start, mine.stop, EVALUATION_BATCH):
            part = slice(start, min(start + EVALUATION_BATCH, mine.stop))
            pixels = torch.from_numpy(np.asarray(images.test_images[part])).to(device)
            labels = torch.from_numpy(images.test_labels[part]).to(device)
            correct += (network(normalise(pixels)).argmax(1) == labels).sum()
    return int(world.sum(correct)) / len(images.test_labels)


def step_sums(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Loss times images, correct answers and images of a step: (3,) float64."""
    correct = (logits.argmax(1) == labels).sum()
    count = torch.full_like(correct, len(labels))
    return torch.stack([loss.double() * len(labels), correct.double(), count.double()])


def epoch_sums(sums: Tensor, bad: Tensor, span: tuple[int, int]) -> EpochSums:
    """From (3,) sums, the first bad step or NEVER, and what `Watch.span` says."""
    loss, correct, count = sums.tolist()
    bad_step = int(bad)
    return EpochSums(loss / count, correct / count, None if bad_step == NEVER else bad_step, span)


def laid_out(batch: Tensor) -> Tensor:
    """Channels last on CUDA, where convolutions want it; the layers' activations follow their input."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.is_cuda else batch
