"""After a device's memory ran out: the batch that does fit, found by trying."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.graphs import let_go
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.search.settings import SearchSettings
from recycle_pipeline.pipeline.search.streamed import training_images

STEPS = 2  # whole batches of an epoch that is tried, beside its smaller last one


class _GoneThrough(Exception):
    """An epoch has ended."""


def fitting_batch(
    build: Callable[[], nn.Module], images: ImageSet, settings: SearchSettings, device: torch.device
) -> int | None:
    """The largest of half the batch, a quarter and so on with which the search gets through.

    What is tried is an epoch of the search itself, of few images, while the device holds all of them as the
    search would. What a compiled search takes, which is less, is not tried.

    Args:
        build: makes a new network, as the search was given it.
        images: the data; not one that is streamed.
        settings: of the search that ran out of memory, which has let go of what it held.
        device: where.

    Returns:
        None where not even two images a step fit.
    """
    batch = settings.batch_size // 2
    try:
        while batch >= 2:
            if _goes_through(build, images, dataclasses.replace(settings, batch_size=batch), device):
                return batch
            batch //= 2
        return None
    finally:
        _let_go(device)  # of the last trial, should the process search again


def _goes_through(
    build: Callable[[], nn.Module], images: ImageSet, settings: SearchSettings, device: torch.device
) -> bool:
    _let_go(device)
    few = STEPS * settings.batch_size + len(images.train_labels) % settings.batch_size
    part = dataclasses.replace(
        images, train_images=images.train_images[:few], train_labels=images.train_labels[:few]
    )
    try:
        everything = training_images(images, device, settings.recipe.seed, settings.batch_size)
        search(build(), part, settings, device, Listeners(epoch=_stop))
        del everything
    except torch.OutOfMemoryError:
        return False
    except (_GoneThrough, RecycleError):  # numbers that are not finite are found after the epoch
        pass
    return True


def _let_go(device: torch.device) -> None:
    if device.type == "cuda":
        let_go()


def _stop(record: EpochRecord) -> None:
    raise _GoneThrough
