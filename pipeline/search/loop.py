"""The search loop: train scores, reuse weights between epochs, keep the last epoch's subnetwork.

The test split is evaluated after each epoch for the reader's eyes; nothing is chosen by it. What is
kept is the last epoch.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.masked_network import MaskedNetwork, ReuseEvent
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import Normalise, TrainingImages
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.search.settings import (
    SearchSettings,
    learning_rate_at,
    prune_at,
    reuse_event_after,
)

EVALUATION_BATCH = 512


def search(
    network: nn.Module,
    images: ImageSet,
    settings: SearchSettings,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> MaskedNetwork:
    """Searches a subnetwork in `network`.

    Deterministic on CPU for one seed, thread count and torch version.

    Args:
        network: a plain network of the registry's interface; masked in place.
        images: the data.
        settings: of the search.
        device: where to search.
        on_epoch: called with each epoch's record.
        on_step: called with the number of steps done and of all steps.

    Returns:
        The masked network in eval mode, its masks exact for its final scores.

    Raises:
        RecycleError: the loss became NaN or infinite.
    """
    network.to(device)
    masked = MaskedNetwork(network, settings.recipe)
    training = TrainingImages(images, device, settings.recipe.seed)
    optimizer = torch.optim.SGD(
        masked.scores, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
    )
    started = time.perf_counter()
    for epoch in range(settings.epochs):
        prune = prune_at(settings, epoch)
        epoch_started = time.perf_counter()
        loss, accuracy, rate = _train_epoch(masked, training, optimizer, settings, epoch, prune, on_step)
        trained = time.perf_counter() - epoch_started
        masked.refresh(prune)
        test_accuracy = evaluate(network, images, device)
        event = _reuse(masked, settings, epoch)
        on_epoch(
            EpochRecord(
                epoch + 1,
                loss,
                accuracy,
                test_accuracy,
                rate,
                prune,
                event.written,
                event.changed,
                len(images.train_labels) / trained,
                time.perf_counter() - started,
            )
        )
    network.eval()
    return masked


def _train_epoch(
    masked: MaskedNetwork,
    training: TrainingImages,
    optimizer: torch.optim.Optimizer,
    settings: SearchSettings,
    epoch: int,
    prune: float,
    on_step: Callable[[int, int], None],
) -> tuple[float, float, float]:
    """Returns mean loss, accuracy and the last learning rate."""
    network = masked.network.train()
    steps = training.batches_per_epoch(settings.batch_size)
    sums = torch.zeros(3, dtype=torch.float64)  # loss, correct, images
    rate = settings.learning_rate
    for index, (batch, labels) in enumerate(training.epoch(settings.batch_size)):
        step = epoch * steps + index
        rate = learning_rate_at(settings, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        masked.refresh(prune)
        with _mixed_precision(batch.device):
            logits = network(_laid_out(batch))
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if sums.device != batch.device:
            sums = sums.to(batch.device)
        sums += _step_sums(loss.detach(), logits.detach(), labels)
        on_step(step + 1, settings.epochs * steps)
    total_loss, correct, count = sums.tolist()
    if not math.isfinite(total_loss) or not masked.is_finite():
        raise RecycleError(
            f"the loss or the scores are not finite in epoch {epoch + 1}, up to step {(epoch + 1) * steps} "
            f"(learning rate {rate:.3g}); "
            f"try a lower --learning-rate than {settings.learning_rate:g}, or a larger --batch-size"
        )
    return total_loss / count, correct / count, rate


def _step_sums(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    correct = (logits.argmax(1) == labels).sum()
    count = torch.full_like(correct, len(labels))
    return torch.stack([loss.double() * len(labels), correct.double(), count.double()])


def _reuse(masked: MaskedNetwork, settings: SearchSettings, epoch: int) -> ReuseEvent:
    """The event after an epoch; the masks it was ranked by are those just evaluated."""
    if not reuse_event_after(settings, epoch):
        return ReuseEvent(0, 0)
    if settings.reuse == "recycle":
        return masked.recycle(settings.reuse_rate)
    number = epoch // settings.reuse_period
    return masked.rerandomize(settings.reuse_rate, number)


@torch.no_grad()
def evaluate(network: nn.Module, images: ImageSet, device: torch.device) -> float:
    """Top-1 fraction on the test split, in float32, with the network in eval mode."""
    network.eval()
    normalise = Normalise(images, device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # by default float32 is TF32 there
        for start in range(0, len(images.test_labels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            pixels = torch.from_numpy(images.test_images[part]).to(device)
            labels = torch.from_numpy(images.test_labels[part]).to(device)
            correct += (network(normalise(pixels)).argmax(1) == labels).sum()
    return int(correct) / len(images.test_labels)


def _laid_out(batch: Tensor) -> Tensor:
    """Channels last on CUDA, where convolutions want it; the layers' activations follow their input."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.is_cuda else batch


@contextmanager
def _mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 on CUDA, where it is twice as fast; float32 on CPU."""
    with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
        yield
