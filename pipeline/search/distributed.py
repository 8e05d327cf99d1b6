"""Several processes, one search: what they share of batches, gradients, statistics and masks.

Plain data parallelism. Every process draws the same weights, scores and order of images; of each global
batch it takes a share; gradients are summed over processes, so that every process makes the same step. What
is not summed is not equal by itself: batch-norm statistics, which are made equal at the end of an epoch, and
masks, whose digests are compared then.
"""

import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore

from recycle_pipeline.models.errors import RecycleError, UsageFault
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.processes import CLOSING
from recycle_pipeline.pipeline.search.mask_digest import mask_digests
from recycle_pipeline.pipeline.together import PeerLost, Together

Value = TypeVar("Value")
TIMEOUT = timedelta(minutes=10)  # for a process that compiles or loads while others wait for its part
CLOSING_SECONDS = 10.0


@dataclass(frozen=True)
class Share:
    """One process's part of something that all share: `count` of `whole`, from `start` on."""

    start: int
    count: int
    whole: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + self.count)


@dataclass(frozen=True)
class World:
    """The processes of a search, as one of them sees them. Alone, every method changes nothing.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        graphs: whether its reductions may be captured in a CUDA graph: NCCL's may, gloo's not.
    """

    rank: int = 0
    size: int = 1
    graphs: bool = True

    def share(self, whole: int) -> Share:
        """Consecutive parts that differ by at most one; the first ranks take the larger."""
        each, more = divmod(whole, self.size)
        start = self.rank * each + min(self.rank, more)
        return Share(start, each + (self.rank < more), whole)

    def weighted(self, loss: Tensor, share: Share) -> Tensor:
        """A share's mean loss such that its gradients' sum over processes is that of the global mean."""
        return loss if self.size == 1 else loss * (share.count / share.whole)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sums over processes, in place; to the bit the same on each. May be captured where `graphs`."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def least(self, tensor: Tensor) -> Tensor:
        """The minimum over processes, in place."""
        return self._reduced(tensor, dist.ReduceOp.MIN)

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums `grad` of the parameters over processes, in one reduction of one flat float32 tensor."""
        if self.size == 1:
            return
        trained = list(parameters)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = self.sum(torch.cat([grad.reshape(-1) for grad in grads]))
        parts = torch.split(flat, [grad.numel() for grad in grads])
        for parameter, part in zip(trained, parts, strict=True):
            parameter.grad = part.view(parameter.shape)

    @torch.no_grad()
    def level(self, network: nn.Module) -> None:
        """Gives batch norms the mean over processes of their running means and variances.

        Each process has followed its own shares, so this is the running statistic of a batch norm that
        sees shares of a batch: the variance between the shares' means is not in it, as in plain DDP.
        """
        if self.size == 1:
            return
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
        found = [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]
        if found:
            flat = self.sum(torch.cat([buffer.reshape(-1) for buffer in found])) / self.size
            for buffer, part in zip(found, torch.split(flat, [b.numel() for b in found]), strict=True):
                buffer.copy_(part.view(buffer.shape))

    def check_masks(self, masked: MaskedNetwork, epoch: int) -> None:
        """Compares the masks' digests over processes.

        Args:
            masked: with exact masks.
            epoch: finished ones, for the message.

        Raises:
            RecycleError: they differ; on every process, naming the first rank and layer that do.
        """
        if self.size == 1:
            return
        mine = mask_digests(masked) if self.graphs else mask_digests(masked).cpu()
        all_of_them = [torch.empty_like(mine) for _ in range(self.size)]
        _guarded(lambda: dist.all_gather(all_of_them, mine))
        differs = (torch.stack(all_of_them) != all_of_them[0]).any(2).cpu()  # (size, layers)
        for rank, of_layers in enumerate(differs):
            unequal = of_layers.nonzero().flatten().tolist()
            if unequal:
                name, more = masked.layers[unequal[0]].name, len(unequal) - 1
                raise RecycleError(
                    f"after epoch {epoch} the mask of layer {name} on rank {rank} is not that of rank 0"
                    f"{f', nor are those of {more} more layers' if more else ''}; all processes must compute "
                    "the same: start them on GPUs of one kind, with one version of torch"
                )

    def of_first(self, value: Value) -> Value:
        """The first process's value, on every process; tensors in it lie on the CPU."""
        if self.size == 1:
            return value
        box = [value if self.rank == 0 else None]
        _guarded(lambda: dist.broadcast_object_list(box, 0, device=torch.device("cpu")))
        return box[0]  # type: ignore[return-value]

    def all_true(self, here: bool) -> bool:
        """Whether something holds on every process."""
        return here if self.size == 1 else bool(self.least(torch.tensor(int(here))))

    def close(self) -> None:
        """Ends the connection after a search that all processes finished; nothing is reduced afterwards.

        NCCL waits for all of them, and for every CUDA graph that holds a reduction to be gone. Where it waits
        for longer than `CLOSING_SECONDS`, as for a process that was killed just now, it is left waiting:
        `processes.leave` ends this process all the same.
        """
        if self.size == 1:
            return
        gc.collect()  # graphs lie in cycles
        device = torch.cuda.current_device() if self.graphs else None
        closing = Thread(target=_destroy, args=(device,), name=CLOSING, daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)

    def _reduced(self, tensor: Tensor, operation: Any) -> Tensor:
        if self.size > 1:
            _guarded(lambda: dist.all_reduce(tensor, operation))
        return tensor


ALONE = World()


def form_world(together: Together, device: torch.device, *, own: bool) -> World:
    """Connects the processes for their reductions: NCCL where each has a GPU of its own, else gloo.

    Args:
        together: the processes.
        device: of this one.
        own: whether no other process uses that device, and it is a GPU.

    Raises:
        UsageFault: some have a GPU and some have not.
        PeerLost: the connection failed.
    """
    ranks = together.ranks
    devices = together.gathered("device", f"{device.type} {'own' if own else 'shared'}")
    kinds = [text.split()[0] for text in devices]
    if len(set(kinds)) > 1:
        raise UsageFault(
            f"process {kinds.index('cpu')} has no GPU, process {kinds.index('cuda')} has one: give "
            "--device cpu, or start processes on machines with GPUs alone"
        )
    graphs = all(text == "cuda own" for text in devices)
    backend = "cpu:gloo,cuda:nccl" if graphs else "gloo"
    store = PrefixStore("search", together.store)
    connect = partial(dist.init_process_group, backend, store=store, timeout=TIMEOUT)
    _guarded(partial(connect, rank=ranks.rank, world_size=ranks.size))
    return World(ranks.rank, ranks.size, graphs)


def _destroy(device: int | None) -> None:
    """Destroys the process group.

    Args:
        device: the number of this process's GPU, if it has one: a thread begins with the first.
    """
    if device is not None:
        torch.cuda.set_device(device)
    with suppress(RuntimeError):  # of a process that is gone, `Together` tells
        dist.destroy_process_group()


def _guarded(call: Callable[[], object]) -> None:
    """Calls torch.distributed; what fails while a graph is captured is the graph's failure, not a peer's."""
    try:
        call()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise
        raise PeerLost(str(error).partition("\n")[0]) from error
