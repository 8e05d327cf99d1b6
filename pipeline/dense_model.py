"""The dense-equivalent ONNX model of a rebuilt ticket: folded, and with metadata that says what it is."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recycle_pipeline.exporters.onnx.dense import (
    INPUT,
    OUTPUT,
    InputSpec,
    Model,
    require_one_file,
    stamp,
    to_onnx,
    write_model,
)
from recycle_pipeline.exporters.onnx.forms import Dense, drawn_in, write_form
from recycle_pipeline.exporters.onnx.int8 import Batch
from recycle_pipeline.exporters.onnx.runtime import USUAL, Versions, versions_for
from recycle_pipeline.exporters.onnx.shrink import Left
from recycle_pipeline.exporters.onnx.twin import write_dense_twin
from recycle_pipeline.models.draws import stream_key
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.fold import TOLERANCE, Folded, fold_batch_norm
from recycle_pipeline.models.options import SIGN_AGREEMENT
from recycle_pipeline.models.subnetwork import Subnetwork
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.manifest import file_digest
from recycle_pipeline.pipeline.rebuild import Rebuilt
from recycle_pipeline.pipeline.shrinking import Shrinking, shrunk_if_equal
from recycle_pipeline.pipeline.version import VERSION

SHRUNK_FROM = "shrunk_from"  # in the metadata of a shrunk model: what the whole one takes
BATCHES, BATCH_SIZE = 2, 64  # of random pixels
USUAL_LOGIT = 10.0  # `fold.TOLERANCE` is meant for logits of this order


def fold(rebuilt: Rebuilt, images: Sequence[Tensor]) -> Folded:
    """Folds a rebuilt network, compared on batches of real images as it takes them, (N, C, S, S) each.

    Raises:
        RecycleError: the network's logits on them are not finite.
    """
    _largest_logit(rebuilt, images)
    return fold_batch_norm(rebuilt.network, images, _agreement(rebuilt.subnetwork))


def fold_without_images(rebuilt: Rebuilt) -> Folded:
    """The same where there are none: compared on random pixels, the same on every call.

    They may drive logits further than images do, and float32 rounds in proportion: so does the tolerance.

    Raises:
        RecycleError: the network's logits on them are not finite.
    """
    batches = _random_batches(rebuilt.subnetwork)
    tolerance = TOLERANCE * max(1.0, _largest_logit(rebuilt, batches) / USUAL_LOGIT)
    return fold_batch_norm(rebuilt.network, batches, _agreement(rebuilt.subnetwork), tolerance)


@torch.no_grad()
def _largest_logit(rebuilt: Rebuilt, batches: Sequence[Tensor]) -> float:
    logits = torch.cat([rebuilt.network(batch) for batch in batches])
    if bad := int((~logits.isfinite()).any(1).sum()):
        raise RecycleError(
            f"the network's logits are NaN or infinite on {bad} of {len(logits)} images, and nothing is "
            "exported of it; expected finite ones: its weights or variances are too large, or a variance is "
            "negative; search again with a lower --learning-rate"
        )
    return float(logits.abs().max())


def write_dense_model(
    folded: Folded, subnetwork: Subnetwork, ticket: Path, path: Path, *, shrink_on: NDArray[np.uint8]
) -> None:
    """Writes a folded network as ONNX, shrunk and atomically; it takes normalised images.

    Args:
        folded: of the ticket.
        subnetwork: what the ticket says.
        ticket: its file, for its digest.
        path: where.
        shrink_on: images (N, C, S, S) to compare the shrunk model with the whole one on.

    Raises:
        RecycleError: it cannot be exported.
        OSError: the file cannot be written.
    """
    made_of, _ = dense(folded, subnetwork, ticket, list, shrink_on=shrink_on)
    write_form(DENSE, made_of, path)


def dense(
    folded: Folded,
    subnetwork: Subnetwork,
    ticket: Path,
    batches: Callable[[], Iterable[Batch]],
    *,
    embed_preprocessing: bool = False,
    shrink_on: NDArray[np.uint8] | None = None,
    ort_target: str | None = None,
) -> tuple[Dense, Shrinking | None]:
    """What every form of a folded network's model is made of.

    Args:
        folded: of the ticket.
        subnetwork: what the ticket says.
        ticket: its file, for its digest.
        batches: training images as the model takes them, for those forms that look at some.
        embed_preprocessing: whether the model takes uint8 pixels.
        shrink_on: images (N, C, S, S), real ones where there are, to compare the shrunk model with the
            whole one on; None keeps the whole one.
        ort_target: the oldest onnxruntime that must run the forms, "X.Y"; None for any.

    Returns:
        The model and what its forms need; and what shrinking did, None where it was not asked for.

    Raises:
        RecycleError: it cannot be exported.
    """
    metadata = _metadata(subnetwork, ticket, embed_preprocessing)
    whole = model = _whole(folded, subnetwork, embed_preprocessing, versions_for(ort_target))
    stamp(whole, metadata)
    shrinking: Shrinking | None = None
    left: Mapping[str, Left] = {}
    if shrink_on is not None:
        fed = _as_fed(shrink_on, subnetwork, embed_preprocessing)
        # Ternary weights stay so, which keeps every form small: of 50 tickets two models had more parameters
        # for it, by 0.1 %, and one fewer (benchmarks/records/2026-11-28-shrink-without-merging.json).
        merge = subnetwork.kind != "binary"
        model, left, shrinking = shrunk_if_equal(whole, fed, _agreement(subnetwork), merge=merge)
        if shrinking.changed and model is not whole:
            stamp(model, metadata | {SHRUNK_FROM: json.dumps(dataclasses.asdict(shrinking.before))})
    keys = {f"{each.name}.weight": stream_key(subnetwork.seed, each.name) for each in subnetwork.tensors}
    return Dense(model, drawn_in(whole, keys, left), batches, ort_target), shrinking


def write_whole_twin(rebuilt: Rebuilt, path: Path, *, embed_preprocessing: bool) -> None:
    """Writes the dense twin of the network as it was before any shrinking, to time a model against.

    Raises:
        RecycleError: it cannot be exported.
        OSError: the file cannot be written.
    """
    write_model(_whole(fold_without_images(rebuilt), rebuilt.subnetwork, embed_preprocessing), {}, path)
    write_dense_twin(path, path)


def _whole(folded: Folded, subnetwork: Subnetwork, embedded: bool, versions: Versions = USUAL) -> Model:
    mean, std = subnetwork.mean, subnetwork.std
    spec = InputSpec(subnetwork.channels, subnetwork.image_size, mean, std, embedded)
    whole = to_onnx(folded.network, spec, versions, folded.plain)
    require_one_file(whole)  # before anything has to write it: shrinking does
    return whole


def _as_fed(pixels: NDArray[np.uint8], subnetwork: Subnetwork, embedded: bool) -> list[NDArray[Any]]:
    """Batches of pixels as the exported model takes them."""
    parts = [pixels[start : start + BATCH_SIZE] for start in range(0, len(pixels), BATCH_SIZE)]
    return [part if embedded else normalised(part, subnetwork.mean, subnetwork.std) for part in parts]


def _agreement(subnetwork: Subnetwork) -> float:
    return SIGN_AGREEMENT if subnetwork.options.binary else 1.0


def _random_batches(subnetwork: Subnetwork) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    side = subnetwork.image_size
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (subnetwork.mean, subnetwork.std))
    pixels = torch.rand(BATCHES, BATCH_SIZE, subnetwork.channels, side, side, generator=generator)
    return [(batch - mean) / std for batch in pixels]


def random_pixels(subnetwork: Subnetwork) -> NDArray[np.uint8]:
    """Images for want of real ones, the same on every call: (N, C, S, S)."""
    side = subnetwork.image_size
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (BATCH_SIZE, subnetwork.channels, side, side), dtype=np.uint8)


def _metadata(subnetwork: Subnetwork, ticket: Path, embedded: bool) -> dict[str, str]:
    scaled = f"float32 (N, C, S, S): (pixels / 255 - {list(subnetwork.mean)}) / {list(subnetwork.std)}"
    return {
        "tool": f"recycle-pipeline {VERSION}",
        "form": "onnx",
        "arch": subnetwork.arch,
        **{name: str(value) for name, value in subnetwork.options.changed().items()},
        "classes": json.dumps(subnetwork.classes),
        "input_name": INPUT,
        "output_name": OUTPUT,
        "layout": "NCHW",
        "input": "uint8 (N, C, S, S) pixels; normalised inside the graph" if embedded else scaled,
        "mean": json.dumps(subnetwork.mean),
        "std": json.dumps(subnetwork.std),
        "seed": str(subnetwork.seed),
        "subnetwork": subnetwork.kind,
        "kept": f"{subnetwork.kept}/{subnetwork.size}",
        "ticket_sha256": file_digest(ticket),
    }
