"""What a campaign starts from: the golden tickets, and smaller ones, which are read several times as fast."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.draws import high_bits_at, signs_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
SHAPES = {"stem": (8, 3, 3, 3), "conv": (32, 8, 2, 2), "head": (4, 150)}
DENSITIES = {"stem": 0.5, "conv": 0.3, "head": 0.04}  # the last is coded as gaps
SEED = 11


def seeds() -> list[bytes]:
    """Contents of files."""
    small = [ticket_bytes(_small(kind, scale)) for kind in ("binary", "continuous") for scale in (1, 3)]
    return small + [path.read_bytes() for path in sorted(GOLDEN.glob("*.safetensors"))]


def _small(kind: Any, scale: int) -> Subnetwork:
    """Every part that its kind can have; masks that first scores foretell, so that contexts have tables."""
    rng = np.random.default_rng(scale)
    shapes = {name: (scale * first, *rest) for name, (first, *rest) in SHAPES.items()}
    tensors = tuple(_tensor(name, shape, kind, rng) for name, shape in shapes.items())
    state = {
        "bn.running_mean": rng.normal(size=12).astype(np.float32),
        "bn.running_var": rng.random(12).astype(np.float32),
        "bn.bias": np.linspace(0, 1, 12, dtype=np.float32),
        "bn.other.bias": np.linspace(0, 1, 12, dtype=np.float32),  # repeats it
        "bn.num_batches_tracked": np.array(77),
        "head.bias": rng.normal(size=4).astype(np.float16),
        "flag": np.array([True, False, True]),
    }
    head = "no such", ("no", "yes"), 1, 4, (0.25,), (0.5,), SEED, kind, 0.75, "layer"
    return Subnetwork(*head, tensors, state, {"epochs": 3})


def _tensor(name: str, shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> MaskedTensor:
    size = int(np.prod(shape))
    score = high_bits_at(stream_key(SEED, name, purpose="score"), np.arange(size))
    # Filters keep more or less, too: levels.
    odds = (score << np.uint64(1)).astype(np.float64) * np.repeat(rng.random(shape[0]), size // shape[0])
    mask = (odds >= np.quantile(odds, 1 - DENSITIES[name])).reshape(shape)
    kept = np.flatnonzero(mask)
    init: Any = {"stem": "kaiming_normal", "conv": "kaiming_uniform", "head": "signed_constant"}[name]
    moved = _moved(kept, rng)
    if name == "conv":  # in turn, and most weights of a kernel have one sign
        wanted = rng.random(size) < 0.5
        wanted = wanted[kept // 4]
        moved = (signs_at(stream_key(SEED, name), kept) != wanted) & (rng.random(len(kept)) < 0.9)
    if kind == "binary" or init == "signed_constant":
        gain = np.float32(0.125) if kind == "binary" else None
        return MaskedTensor(name, init, np.float32(0.25), mask, gain, flips=moved)
    draws, sources = np.zeros(len(kept), np.int16), kept.astype(np.int32)
    draws[moved] = rng.integers(1, 300, np.count_nonzero(moved))
    sources[moved & (kept % 2 == 0)] = rng.integers(0, size)
    return MaskedTensor(name, init, np.float32(0.25), mask, draws=draws, sources=sources)


def _moved(kept: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    return rng.random(len(kept)) < 0.3
