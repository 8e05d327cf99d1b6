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
from recycle_pipeline.pipeline.search.batches import Normalise, TrainingImages
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
from recycle_pipeline.pipeline.search.streamed import evaluated_images
from recycle_pipeline.pipeline.search.twin import twin_of
from recycle_pipeline.pipeline.search.watch import NEVER, Watch

EVALUATION_BATCH = 500  # images at most; more are no faster and take more memory than training
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
        self._tested = world.share(len(images.test_labels))
        part = self._tested.slice if self._tested.count else slice(1)  # a graph needs an image to look at
        self._test_labels = torch.from_numpy(images.test_labels[part]).to(device)
        # Images take less here than in training, which keeps what its backward pass needs.
        self._at_once = min(EVALUATION_BATCH, 4 * settings.batch_size, len(self._test_labels))
        self._test_images = evaluated_images(images.test_images[part], device, self._at_once)
        self._normalise = Normalise(images, device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        with tuned(), multiplying(settings.precision):
            self._record(compiled)

    def _optimizer_of_others(self) -> torch.optim.Optimizer | None:
        if not self._masked.others:
            return None
        optimizer = optimizer_of(self._masked.others, self._settings)
        for group in optimizer.param_groups:
            group |= {"lr": self._rate, "capturable": True, "fused": True, "foreach": False}
        return optimizer

    def _record(self, compiled: bool) -> None:
        self._load(self._masked.recipe.prune)
        self._twin.train()
        plain: tuple[Batch, Forward, Update] = (self._training.batch, self._loss, self.flat.update)
        fused = tuple(torch.compile(part, dynamic=False) for part in plain) if compiled else plain
        self._recorder = recorder = Recorder(self._device, together=self._world.size > 1)
        small = [*self._twin.buffers(), *self._masked.others]
        undo = partial(self._undo, [(tensor, tensor.detach().clone()) for tensor in small])
        if self._world.size > 1:
            self._agree(partial(self._train, self._sizes[0], *fused), undo)
        self.launches = {
            # A last, smaller batch is not worth a second compilation.
            size: recorder.record(
                partial(self._train, size, *(fused if number == 0 else plain)), undo, self.rewind
            )
            for number, size in enumerate(dict.fromkeys(self._sizes))
        }
        self._twin.eval()
        self._test_launch = recorder.record(self._test, self.rewind, self.rewind)

    def _agree(self, work: Work, undo: Work) -> None:
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
            undo()
        if not self._world.all_true(failure is None):
            raise failure or RuntimeError("it fails on another process")

    @property
    def step_seconds(self) -> float:
        """That a step of a full batch takes the GPU; 0 on CPU."""
        return next(iter(self._recorder.seconds), 0.0)

    @torch.no_grad()
    def _undo(self, saved: list[tuple[Tensor, Tensor]]) -> None:
        """Takes rehearsed steps back; the large tensors follow from the masked network."""
        for tensor, value in saved:
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
        self._cursor.zero_()
        self._correct.zero_()
        with self._test_images.feeding():
            for _ in range(-(-self._tested.count // self._at_once)):
                self._test_images.stage()
                self._test_launch()
        return int(self._world.sum(self._correct)) / self._tested.whole

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

    @torch.no_grad()
    def _test(self) -> None:
        total = self._tested.count
        positions = self._cursor + torch.arange(self._at_once, device=self._device)
        chosen = positions.clamp(max=len(self._test_labels) - 1)
        with mixed(self._number, self._device):
            logits = self._twin(laid_out(self._normalise(self._test_images.pixels(chosen))))
        self._correct += ((logits.argmax(1) == self._test_labels[chosen]) & (positions < total)).sum()
        self._cursor += self._at_once
