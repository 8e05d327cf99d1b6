"""The fast engine for CUDA: a training step captured in one graph, launched once per step.

The network computes with weights that lie in `FlatScores`, in bfloat16 unless more is asked for; a twin of
the plain network holds them as its parameters. Forward, backward and update may be compiled (kernels fused
by torch.compile), which pays from a few thousand steps on.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.captured_evaluation import CapturedEvaluation
from recycle_pipeline.pipeline.search.compiling import fused
from recycle_pipeline.pipeline.search.distributed import ALONE, World
from recycle_pipeline.pipeline.search.eager import epoch_sums, laid_out, step_sums
from recycle_pipeline.pipeline.search.flat import FlatScores
from recycle_pipeline.pipeline.search.glimpse import Glimpse
from recycle_pipeline.pipeline.search.graphs import Pace, Recorder, Work, tuned
from recycle_pipeline.pipeline.search.memory import (
    carried_by,
    flat_memory,
    memory_of,
    other_names,
    remind,
    remind_flat,
    score_names,
)
from recycle_pipeline.pipeline.search.optimizer import optimizer_of
from recycle_pipeline.pipeline.search.precision import mixed, multiplying, number_type
from recycle_pipeline.pipeline.search.settings import SearchSettings, learning_rate_at
from recycle_pipeline.pipeline.search.steps import EpochSums, StepHooks
from recycle_pipeline.pipeline.search.twin import twin_of
from recycle_pipeline.pipeline.search.watch import NEVER, Watch

NOT_LOADED = -1.0, -1  # no prune rate, no number of events
EXACT_EVERY = 10  # epochs: at the beginning of each such, thresholds and their probes are exact anew

Batch = Callable[[Tensor], tuple[Tensor, Tensor]]
Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Update = Callable[[list[Tensor] | Tensor, Tensor], None]


class CapturedSteps:
    """See `Steps`.

    Args:
        masked: the network under search.
        plain: a copy of the network as it was before it was masked.
        training: images on the device.
        images: for the test split.
        settings: of the search.
        compiled: whether to compile forward, backward and update.
        world: the processes that search together; its reductions are part of the graph.
        trial: whether to leave all but the step of a full batch to `complete`.
    """

    def __init__(
        self,
        masked: MaskedNetwork,
        plain: nn.Module,
        training: TrainingImages,
        images: ImageSet,
        settings: SearchSettings,
        *,
        compiled: bool,
        world: World = ALONE,
        trial: bool = False,
    ) -> None:
        self._masked, self._training, self._settings = masked, training, settings
        self._world = self._reducing = world
        self._device = device = masked.scores[0].device
        self._number = number_type(settings.precision, device)
        self.flat = FlatScores(
            masked,
            settings.optimizer,
            momentum=settings.momentum,
            decay=settings.weight_decay,
            number=self._number,
        )
        self._twin, self._weights = twin_of(plain, masked.network, self.flat.views())
        self._sizes = training.batch_sizes(settings.batch_size)
        count = len(self._sizes)
        rates = [learning_rate_at(settings, step, count) for step in range(settings.epochs * count)]
        self._rates = torch.tensor(rates, device=device)
        self._rate = torch.zeros((), device=device)
        self._others = self._optimizer_of_others()
        self._cursor, self._step = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._bad = torch.full((), NEVER, device=device)
        self._evaluation = CapturedEvaluation(self._twin, images, settings, device, world)
        # What a rehearsed step changes beside scores, and its values before.
        self._small = [*self._twin.buffers(), *self._masked.others]
        self._fresh = [tensor.detach().clone() for tensor in self._small]
        self._recorder = Recorder(device, together=world.size > 1)
        self.launches: dict[int, Work] = {}
        self._record(compiled)
        if not trial:
            self.complete()

    def _optimizer_of_others(self) -> torch.optim.Optimizer | None:
        if not self._masked.others:
            return None
        optimizer = optimizer_of(self._masked.others, self._settings)
        for group in optimizer.param_groups:
            group |= {"lr": self._rate, "capturable": True, "fused": True, "foreach": False}
        return optimizer

    def _record(self, compiled: bool) -> None:
        """The step of a full batch."""
        self._twin.train()
        self._load(self._masked.recipe.prune)
        parts = self._parts
        if compiled:
            batch, forward, update = parts
            parts = fused(batch), fused(forward), fused(update)
        work = partial(self._train, self._sizes[0], *parts)
        with tuned(), multiplying(self._settings.precision):
            if self._world.size > 1:
                self._agree(work)
            self.launches[self._sizes[0]] = self._recorder.record(work, self._undo, self.rewind)

    @property
    def _parts(self) -> tuple[Batch, Forward, Update]:
        return self._training.batch, self._loss, self.flat.update

    def complete(self) -> None:
        """Records what a trial has left: a last, smaller batch, and the evaluation.

        One step in an epoch is worth neither a compilation nor seconds in which cuDNN tries its algorithms.
        """
        self._twin.train()
        with multiplying(self._settings.precision):
            for size in set(self._sizes) - set(self.launches):
                work = partial(self._train, size, *self._parts)
                self.launches[size] = self._recorder.record(work, self._undo, self.rewind)
            self._twin.eval()
            self._evaluation.record(self._recorder)
        self._small = self._fresh = []

    def _agree(self, work: Work) -> None:
        """Does the work without the others, so that who cannot do it leaves nobody waiting in a reduction.

        Raises:
            Exception: it fails here or on another process.
        """
        failure: Exception | None = None
        self._reducing = ALONE
        try:
            with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
                work()
        except Exception as error:  # raised when all know of it
            failure = error
        finally:
            self._reducing = self._world
            self._undo()
        if not self._world.all_true(failure is None):
            raise failure or RuntimeError("it fails on another process")

    @property
    def step_seconds(self) -> float:
        """That a step of a full batch takes the GPU; 0 on CPU."""
        return next(iter(self._recorder.seconds), 0.0)

    @torch.no_grad()
    def _undo(self) -> None:
        """Takes rehearsed steps back; the large tensors follow from the masked network."""
        for tensor, value in zip(self._small, self._fresh, strict=True):
            tensor.copy_(value)
        self.flat.reset()
        self._load(self._masked.recipe.prune)
        for values in self._others.state.values() if self._others else ():
            for value in values.values():
                if isinstance(value, Tensor):
                    value.zero_()
        self._bad.fill_(NEVER)
        self.rewind()

    def train_epoch(self, epoch: int, prune: float, hooks: StepHooks) -> EpochSums:
        """See `Steps`. Masks are exact at the epoch's beginning and end, close to it between."""
        self._twin.train()
        if (prune, self._masked.events) != self._loaded or epoch % EXACT_EVERY == 0:
            self._load(prune)
        self._training.begin_epoch()
        first = epoch * len(self._sizes)
        self.rewind(first)
        self._sums.zero_()
        pace, glimpse = Pace(self._device), Glimpse(self._sums)
        watch = Watch([self.flat.scores], self._bad, first, self._world)
        with self._training.feeding():
            for step, size in enumerate(self._sizes, start=first):
                if hooks.event_due(step):
                    self._event(step, prune, hooks)
                self._training.stage()
                self.launches[size]()
                if seen := glimpse.look():
                    hooks.seen(seen)
                if done := pace.launched():
                    hooks.done(first + done)
                if watch.stops(step):
                    break
        self.flat.store()
        self._masked.refresh(prune)
        sums = epoch_sums(self._world.sum(self._sums), self._world.least(self._bad), watch.span(step))
        hooks.done(step + 1)
        return sums

    def rewind(self, step: int = 0) -> None:
        """To the beginning of an epoch whose first step has this number."""
        self._cursor.zero_()
        self._step.fill_(step)

    def _event(self, step: int, prune: float, hooks: StepHooks) -> None:
        self.flat.store()
        self._masked.refresh(prune)
        hooks.event(step)
        self._load(prune)

    def _load(self, prune: float) -> None:
        self._masked.refresh(prune)
        self.flat.load(prune)
        self._loaded = prune, self._masked.events

    def evaluate(self) -> float:
        """See `Steps`; with the numbers that training computes with."""
        self._twin.eval()
        self.flat.load_effective()
        return self._evaluation.accuracy()

    def memory(self) -> dict[str, Tensor]:
        """See `Steps`."""
        own = flat_memory(self.flat, list(score_names(self._masked)))
        return own | memory_of(self._others, other_names(self._masked))

    def carried(self) -> dict[str, Tensor]:
        """See `Steps`: thresholds, and the rate and the number of events at which they were last exact."""
        if self._loaded == NOT_LOADED:
            return {}
        return carried_by(self.flat) | {"loaded": torch.tensor(self._loaded, dtype=torch.float64)}

    @torch.no_grad()
    def remember(self, memory: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> None:
        """See `Steps`. Without what it carried, thresholds are exact at the next epoch's beginning."""
        remind_flat(self.flat, list(score_names(self._masked)), memory)
        remind(self._others, other_names(self._masked), memory)
        if not carried:
            self._loaded = NOT_LOADED
            return
        prune, events = carried["loaded"].tolist()
        self._load(prune)
        for name, value in carried_by(self.flat).items():
            value.copy_(carried[name])
        self._loaded = prune, int(events)

    def release(self) -> None:
        """See `Steps`: the graphs."""
        self.launches.clear()
        self._recorder.release()

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with mixed(self._number, self._device):
            logits = self._twin(laid_out(images))
        smoothing = self._settings.label_smoothing
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing), logits

    def _train(self, size: int, batch: Batch, forward: Forward, update: Update) -> None:
        share = self._world.share(size)
        images, labels = batch(self._cursor + torch.arange(share.count, device=self._device) + share.start)
        loss, logits = forward(images, labels)
        trained = [*self._weights, *self._masked.others]
        weighted = self._world.weighted(loss, share)
        gradients = torch.autograd.grad(weighted, trained, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            # index_select: an index of no dimension would be read by the CPU, which a graph forbids.
            self._rate.copy_(self._rates.index_select(0, self._step.view(1))[0])
            update(self._summed(list(gradients[: len(self._weights)])), self._rate)
            self._update_others(gradients[len(self._weights) :])
            self._sums += step_sums(loss.detach(), logits.detach(), labels)
            self._bad.copy_(torch.where(loss.isfinite(), self._bad, torch.minimum(self._bad, self._step)))
            self._cursor += size
            self._step += 1

    def _summed(self, gradients: list[Tensor]) -> list[Tensor] | Tensor:
        """Over processes, in one reduction of all layers together, which stay joined.

        In the type that the backward pass gave them; if that is bfloat16, half of float32's traffic, and a
        sum of a few rounds as each of its terms is rounded already, by 2**-9 of itself.
        """
        if self._reducing.size == 1:
            return gradients
        return self._reducing.sum(self.flat.layout.joined(gradients))

    def _update_others(self, gradients: tuple[Tensor, ...]) -> None:
        if self._others is not None:
            for parameter, gradient in zip(self._masked.others, gradients, strict=True):
                parameter.grad = gradient.to(parameter.dtype)
            self._reducing.sum_gradients(self._masked.others)
            self._others.step()
