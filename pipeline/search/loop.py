"""The search loop: train scores, reuse weights between epochs, keep the last epoch's subnetwork.

The test split, or what is held out in its place, is evaluated after each epoch for the reader's eyes; nothing
is chosen by it here. What is kept is the last epoch.
"""

import copy
import time

import torch
from torch import nn

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
from recycle_pipeline.pipeline.search.distributed import ALONE, World
from recycle_pipeline.pipeline.search.eager import evaluate
from recycle_pipeline.pipeline.search.engines import Engines
from recycle_pipeline.pipeline.search.epoch import EpochUnderWay
from recycle_pipeline.pipeline.search.listeners import NOBODY, Listeners
from recycle_pipeline.pipeline.search.precision import check_precision
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.search.search_state import SearchState
from recycle_pipeline.pipeline.search.settings import SearchSettings, check_event_numbers, peak_at
from recycle_pipeline.pipeline.search.steps import not_finite
from recycle_pipeline.pipeline.search.streamed import training_images

TOGETHER_SECONDS = 60.0  # that the first process waits for its disk before it meets the others: they time out
LOWER = 10  # a rate is by that factor that is advised where numbers were not finite


def search(
    network: nn.Module,
    images: ImageSet,
    settings: SearchSettings,
    device: torch.device,
    tell: Listeners = NOBODY,
    engine: str = "auto",
    world: World = ALONE,
    checkpoints: Checkpoints | None = None,
) -> MaskedNetwork:
    """Searches a subnetwork in `network`.

    Deterministic on CPU for one seed, thread count and torch version, interrupted or not.

    Args:
        network: a plain network of the registry's interface; masked in place.
        images: the data.
        settings: of the search.
        device: where to search.
        tell: who hears of it.
        engine: eager (one operation after the other), captured (CUDA graphs), compiled (captured, and
            kernels fused), or auto: on CUDA captured, and compiled where a long search wins back the time
            that compiling takes. On CPU auto is eager; captured does the same steps without a graph, for
            tests.
        world: the processes that search together, each of which calls this with the same arguments, but
            for `device` and who hears of it.
        checkpoints: where to go on from after an interruption, and what to leave for the next one.

    Returns:
        The masked network in eval mode, its masks exact for its final scores.

    Raises:
        RecycleError: the loss, the scores or batch norm's numbers became NaN or infinite, or masks differ
            between processes.
        PeerLost: another process of `world` is gone.
        UsageFault: more reuse events than a ticket can number, fewer images than processes can share, or a
            precision that the device has not.
    """
    check_precision(settings.precision, device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # graphs and their streams belong to the current device
    fast = engine in ("captured", "compiled") or (engine == "auto" and device.type == "cuda")
    plain = copy.deepcopy(network) if fast else None  # where it was built: not in the device's memory
    network.to(device)
    masked = MaskedNetwork(network, settings.recipe)
    training = training_images(images, device, settings.recipe.seed, settings.batch_size, world)
    steps_per_epoch = len(training.batch_sizes(settings.batch_size))
    check_event_numbers(settings, steps_per_epoch)
    steps = Engines(masked, plain, training, images, settings, tell.note, world).chosen(engine)
    state = SearchState(masked, training, steps)
    records = checkpoints.resume(state, settings.epochs) if checkpoints else []
    records = _as_first_process(state, records, world)
    started = time.perf_counter() - (records[-1].seconds if records else 0.0)
    for epoch in range(len(records), settings.epochs):
        now = EpochUnderWay(masked, settings, epoch, steps_per_epoch, tell.step)
        sums = steps.train_epoch(epoch, now.prune, now.hooks)
        spoilt = masked.not_finite()
        if sums.bad_step is not None or spoilt:
            kept = checkpoints.kept(peak_at(settings, epoch) / LOWER) if checkpoints else ""
            raise not_finite(sums, settings, steps_per_epoch, kept, spoilt)
        now.trained(sums)
        world.level(network)
        world.check_masks(masked, epoch + 1)
        last = epoch == settings.epochs - 1
        accuracy = evaluate(network, images, device, world) if last else steps.evaluate()
        now.reuse_after()
        while not world.all_true(checkpoints is None or checkpoints.settled(TOGETHER_SECONDS)):
            pass
        records.append(now.record(accuracy, images, time.perf_counter() - started))
        tell.epoch(records[-1])
        if checkpoints and not last:
            checkpoints.take(state, records)
    network.eval()
    steps.release()
    return masked


def _as_first_process(state: SearchState, records: list[EpochRecord], world: World) -> list[EpochRecord]:
    """The first process alone reads and writes checkpoints; what it goes on from, the others take over."""
    if world.size == 1:
        return records
    mine = {name: tensor.cpu() for name, tensor in state.tensors().items()} if records else {}
    records, events, tensors = world.of_first((records, state.events, mine))
    if records and world.rank:
        state.restore(tensors, events)
    return records
