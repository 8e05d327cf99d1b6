"""CUDA graphs: a piece of work recorded once and launched as one; on the CPU the work itself."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

Work = Callable[[], None]
REHEARSALS = 3  # before a capture: libraries choose their algorithms, compilers compile
TIMED = 5  # launches after it
IN_FLIGHT = 32  # launches that the CPU may be ahead, so that progress shown is progress made
_failed: set[tuple[int, int]] = set()  # pools of recorders whose work failed; for `let_go`


@contextmanager
def tuned() -> Iterator[None]:
    """Within it cuDNN times its algorithms for each shape and takes the fastest; a graph keeps to them.

    On an H200 a step of ResNet-18 then takes a tenth less (docs/results.md). What torch's compiler says of
    reductions that it splits, and of TF32, is of no use to the user of a search.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*Online softmax is disabled", UserWarning)
            warnings.filterwarnings("ignore", r"TensorFloat32 tensor cores", UserWarning)
            yield
    finally:
        torch.backends.cudnn.benchmark = before


class Recorder:
    """Records pieces of work that are never launched at the same time, and so share their memory.

    Args:
        device: where the work runs. On a CPU nothing is recorded: calls go to the work itself, so that
            all but the capture can be tested there.
        together: whether the work holds reductions over processes. NCCL watches over those from a thread
            of its own, which must not spoil a capture.
    """

    def __init__(self, device: torch.device, *, together: bool = False) -> None:
        self._device = device
        self._mode = "thread_local" if together else "global"
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        # One for all rehearsals: cuBLAS keeps 32 MiB for each stream that it has met.
        self._stream = torch.cuda.Stream() if self._pool else None  # type: ignore[no-untyped-call]
        self._alive: list[object] = []
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self.seconds: list[float] = []

    def record(self, work: Work, undo: Work, rewind: Work = lambda: None) -> Work:
        """What launches the work. How long it takes the GPU is appended to `seconds`.

        Args:
            work: on fixed tensors alone; what it allocates is its own.
            undo: puts back what rehearsals of the work changed.
            rewind: called before each rehearsal, for work that goes forward in its data.
        """
        if (pool := self._pool) is None or (stream := self._stream) is None:
            return work
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        seeded, fresh = generator.get_state(), generator.clone_state()
        stream.wait_stream(torch.cuda.current_stream())
        # The outer context brings the present stream back where a capture that failed does not.
        with torch.cuda.stream(torch.cuda.current_stream()):
            try:
                with torch.cuda.stream(stream):
                    for _ in range(REHEARSALS):
                        rewind()
                        work()
                torch.cuda.current_stream().wait_stream(stream)
                with torch.cuda.graph(graph, pool=pool, capture_error_mode=self._mode):
                    work()
                self.seconds.append(_seconds(graph, rewind))
            except BaseException:
                _failed.add(pool)
                with suppress(RuntimeError):
                    graph.reset()
                # A capture that failed may leave the generator's state as if it went on.
                generator.graphsafe_set_state(fresh)
                raise
            finally:
                torch.cuda.current_stream().wait_stream(stream)
                generator.set_state(seeded)  # a network's dropout has drawn from it
                undo()
        self._alive.append(work)  # a graph holds addresses, not tensors
        self._graphs.append(graph)
        return graph.replay

    def release(self) -> None:
        """Destroys what was recorded, none of which is launched any more."""
        for graph in self._graphs:
            graph.reset()
        self._graphs.clear()
        self._alive.clear()


def let_go() -> None:
    """Gives back the memory of recorders that are gone, also what torch does not let go of by itself.

    cuBLAS keeps a workspace for each stream that it has met, some within the pools of graphs. A capture that
    memory ran out in may not end for the allocator, which then keeps its pool.
    """
    gc.collect()  # graphs lie in cycles
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    segments = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
    held = {tuple(segment["segment_pool_id"]) for segment in segments}
    device = torch.cuda.current_device()
    for pool in _failed & held:
        for end in (torch._C._cuda_endAllocateToPool, torch._C._cuda_releasePool):
            with suppress(RuntimeError):
                end(device, pool)
    _failed.clear()
    torch.cuda.empty_cache()


def _seconds(graph: torch.cuda.CUDAGraph, rewind: Work) -> float:
    """Of a launch; the first of them warms up."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    for number in range(TIMED + 1):
        rewind()
        if number == 1:
            begin.record()
        graph.replay()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000 / TIMED


class Pace:
    """Keeps the CPU from running far ahead of the GPU."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[torch.cuda.Event] = []
        self._launched = 0

    def launched(self) -> int:
        """Call it after each launch; returns how many are done."""
        self._launched += 1
        if not self._cuda:
            return self._launched
        self._marks.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
        self._marks[-1].record()
        if len(self._marks) <= IN_FLIGHT:
            return 0
        self._marks.pop(0).synchronize()
        return self._launched - IN_FLIGHT
