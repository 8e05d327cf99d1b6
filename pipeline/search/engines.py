"""Which engine does a search: the fastest that takes the network, the same on every process."""

import copy
import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.distributed import World
from recycle_pipeline.pipeline.search.eager import EagerSteps
from recycle_pipeline.pipeline.search.settings import SearchSettings
from recycle_pipeline.pipeline.search.steps import Steps
from recycle_pipeline.pipeline.together import PeerLost

# ResNet-18 at batch 256 on an H200 (benchmarks/records/2026-11-22-search-speed-*): compiling takes about 20 s
# where nothing is in the compiler's cache, and then a third of each captured step's time is saved.
COMPILE_SECONDS, COMPILE_SAVES = 20.0, 1 / 3
COMPILED, CAPTURED = "compiled", "captured in a CUDA graph"


@dataclass(frozen=True)
class Engines:
    """What every engine of a search is made of.

    Attributes:
        masked: the network under search.
        plain: a copy of the network as it was before it was masked, where it was built; None asks for eager.
        training: images on the device.
        images: for the evaluations.
        settings: of the search.
        note: told what a user should know of the choice.
        world: the processes that search together.
    """

    masked: MaskedNetwork
    plain: nn.Module | None
    training: TrainingImages
    images: ImageSet
    settings: SearchSettings
    note: Callable[[str], None]
    world: World

    def chosen(self, engine: str) -> Steps:
        """The engine of this name, or where the network does not take it the next slower.

        Args:
            engine: eager, captured, compiled, or auto: captured, and compiled if that is won back.
        """
        if self.plain is None or engine == "eager":
            return self._eager()
        if self._on_cuda and not self.world.graphs:
            self.note("processes that share a GPU cannot use CUDA graphs; the search is slower")
            return self._eager()
        if engine == "compiled":
            return self._compiled()
        trial = engine == "auto"
        found = self._captured(trial=trial)
        if found and trial:
            if self._compiling_pays(found):
                found.release()
                del found
                gc.collect()  # its memory is free before the next takes some
                return self._compiled()
            found = self._attempted(CAPTURED, partial(_completed, found))
            if found is None:
                gc.collect()  # the attempt could not be collected while it was being made
        return found or self._eager()

    @property
    def _on_cuda(self) -> bool:
        return self.masked.scores[0].is_cuda

    def _compiling_pays(self, steps: CapturedSteps) -> bool:
        epoch = len(self.training.batch_sizes(self.settings.batch_size))
        saved = COMPILE_SAVES * steps.step_seconds * epoch * self.settings.epochs
        return self.world.all_true(saved > COMPILE_SECONDS)

    def _eager(self) -> Steps:
        return EagerSteps(self.masked, self.training, self.images, self.settings, self.world)

    def _compiled(self) -> Steps:
        make = partial(self._made, compiled=True, trial=False)
        return self._attempted(COMPILED, make) or self._captured(trial=False) or self._eager()

    def _captured(self, *, trial: bool) -> CapturedSteps | None:
        return self._attempted(CAPTURED, partial(self._made, compiled=False, trial=trial))

    def _made(self, *, compiled: bool, trial: bool) -> CapturedSteps:
        own = copy.deepcopy(self.plain).to(self.masked.scores[0].device)  # type: ignore[union-attr]
        parts = self.masked, own, self.training, self.images, self.settings
        return CapturedSteps(*parts, compiled=compiled, world=self.world, trial=trial)

    def _attempted(self, what: str, make: Callable[[], CapturedSteps]) -> CapturedSteps | None:
        """None, and a note, if this network cannot be what is said, on every process if on one."""
        steps: CapturedSteps | None = None
        try:
            steps = make()
        except (torch.OutOfMemoryError, PeerLost):
            raise
        except Exception as error:  # a user's network may do anything that a graph cannot hold
            reason = str(error).partition("\n")[0]
            self.note(f"this network cannot be {what} ({reason}); the search is slower")
        if self._on_cuda:
            gc.collect()  # of an attempt that failed, nothing stays in the device's memory
        return steps if self.world.all_true(steps is not None) else None


def _completed(steps: CapturedSteps) -> CapturedSteps:
    steps.complete()
    return steps
