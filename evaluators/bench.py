"""Latency and throughput of several models, in turns, over batch sizes and threads.

A row's interval is Student's, over blocks: each opens every model anew, in a fresh process, because a session
is faster or slower for as long as it lives (see `blocks`). Samples within a block only make its median sharp.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from recycle_pipeline.evaluators.blocks import Block, Blocks, Isolation
from recycle_pipeline.evaluators.samples import LatencySamples, Spread, spread
from recycle_pipeline.evaluators.setting import Setting, Transfers
from recycle_pipeline.evaluators.workers import Worker
from recycle_pipeline.models.errors import UsageFault

FEWEST_BLOCKS = 3  # for an interval that says anything


@dataclass(frozen=True, eq=False)
class Row:
    """One model under one setting.

    Attributes:
        median_ms: over blocks.
        ratio: to the first model, within blocks; None for that itself.
        load_s: seconds to open a session, over blocks.
        memory: bytes by which a fresh process's peak grew from opening and running it; a single process.
        samples: every time, ms, in order.
        blocks: (blocks,) ms, the medians.
        settled: the fraction of blocks whose warm-up settled.
    """

    model: Path
    setting: Setting
    median_ms: Spread
    ratio: Spread | None
    load_s: Spread
    memory: int
    samples: LatencySamples
    blocks: tuple[float, ...]
    settled: float

    @property
    def throughput(self) -> Spread:
        """Images a second at the median: the same blocks, turned over."""
        images, ms = 1000 * self.setting.batch, self.median_ms
        low = images / ms.high if np.isfinite(ms.high) else 0.0
        return Spread(images / ms.value, low, images / ms.low if ms.low else float("inf"), ms.n)

    @property
    def speed(self) -> str:
        """The one word that the interval of the ratio allows, beside the first model."""
        if self.ratio is None:
            return ""
        return "slower" if self.ratio.low > 1 else "faster" if self.ratio.high < 1 else "not told apart"


def bench(
    models: Sequence[Path],
    settings: Sequence[Setting],
    *,
    seconds: float,
    isolation: Isolation = "block",
    core: int | None = None,
    seed: int = 0,
    begins: Callable[[Setting], None] = lambda _: None,
) -> list[Row]:
    """Measures models under settings, one setting after the other.

    Args:
        models: ONNX files; ratios are to the first.
        settings: how to run them; see `settings_of`.
        seconds: for each setting; `FEWEST_BLOCKS` blocks are measured even if they take longer.
        isolation: see `Blocks`.
        core: the one core to use, None for any.
        seed: of all orders.
        begins: told each setting before its turn.

    Raises:
        UsageFault: no models, a file that is not there, or no time.
        RecycleError: a model that cannot be opened or run.
    """
    _require(models, seconds)
    rng, rows = np.random.default_rng(seed), list[Row]()
    for setting in settings:
        begins(setting)
        maker, end = Blocks(models, setting, rng, isolation, core), time.perf_counter() + seconds
        blocks: list[Block] = []
        while len(blocks) < FEWEST_BLOCKS or time.perf_counter() < end:
            blocks.append(maker.measure())
        rows += [_row(models, i, setting, blocks) for i in range(len(models))]
    return rows


def settings_of(
    batches: Sequence[int], threads: Sequence[int], provider: str, transfers: Transfers
) -> list[Setting]:
    """Every combination, threads within batches.

    Raises:
        UsageFault: a number below 1.
    """
    if min(*batches, *threads, 1) < 1:
        raise UsageFault(f"batches {list(batches)} and threads {list(threads)} given; expected 1 or more.")
    return [Setting(provider, t, b, transfers) for b, t in product(batches, threads)]


def _row(models: Sequence[Path], which: int, setting: Setting, blocks: Sequence[Block]) -> Row:
    medians = np.array([block.medians for block in blocks])  # (blocks, models)
    with Worker() as worker:
        memory = worker.open(models[which], setting).memory
    return Row(
        model=models[which],
        setting=setting,
        median_ms=spread(medians[:, which]),
        ratio=spread(medians[:, which] / medians[:, 0]) if which else None,
        load_s=spread(np.array([block.load_s[which] for block in blocks])),
        memory=memory,
        samples=LatencySamples(tuple(np.concatenate([block.ns[which] / 1e6 for block in blocks]).tolist())),
        blocks=tuple(medians[:, which].tolist()),
        settled=float(np.mean([block.settled for block in blocks])),
    )


def _require(models: Sequence[Path], seconds: float) -> None:
    if not models or not 0 <= seconds < float("inf"):
        raise UsageFault(f"{len(models)} models and {seconds:g} s given; expected a model and a finite time.")
    for path in models:
        if not path.is_file():
            raise UsageFault(f"{path} is no file. Give the path of an ONNX file, as `export` writes it.")
