"""What `verify` judges, and by what: the exported model, and the network that its ticket gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data.prepared import Prepared, normalised
from recycle_pipeline.pipeline.stages.rejecting import rejecting_onnx
from recycle_pipeline.pipeline.stages.stage import Context, check_data

if TYPE_CHECKING:
    from torch import nn

    from recycle_pipeline.evaluators.gates import Limits
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.pipeline.rebuild import Rebuilt

BATCH_SIZE = 256


@dataclass(frozen=True)
class Subject:
    """What is judged and by what: the exported model and the network that its ticket gives.

    Attributes:
        custom: the architecture's name where it is the user's own and may be imported.
        timed: the same model, opened for timing.
        pixels: normalised, as torch takes them.
        fed: as the model takes them.
        reference: (N, K) logits of torch.
    """

    provider: str
    note: str
    custom: str | None
    rebuilt: "Rebuilt"
    model: "OnnxModel"
    timed: "OnnxModel"
    pixels: Prepared
    fed: Prepared
    reference: NDArray[np.float32]
    limits: "Limits"


def opened_subject(context: Context) -> Subject:
    """Opens the exported model and rebuilds the network of the ticket, whose logits are computed here.

    Raises:
        MissedGate: the model cannot be opened, and was rejected.
        RecycleError: it, or the network, cannot be had for another reason.
    """
    from recycle_pipeline.evaluators.accuracy import require_logits
    from recycle_pipeline.evaluators.session import best_provider, open_session
    from recycle_pipeline.pipeline.rebuild import rebuild

    config, folder, images = context.config, context.folder, context.images
    provider, reason = best_provider(config.provider)
    note = f"{reason}; verified on the CPU" if reason and has_gpu() else ""
    if note:
        context.reporter.stage("verify", f"note: {note}")
    path = folder.lying("onnx")
    context.reporter.stage("verify", f"{folder.relative(path)} under ONNX Runtime, provider {provider}")
    with rejecting_onnx(folder):
        model = open_session(path, provider)
    custom = config.arch if is_custom(config.arch) and context.import_custom else None
    rebuilt = rebuild(folder.ticket, arch=custom)
    check_data(context, rebuilt.subnetwork)
    statistics = rebuilt.subnetwork.mean, rebuilt.subnetwork.std
    pixels = Prepared(images.test_images, lambda part: normalised(part, *statistics))
    require_logits("torch's logits", reference := torch_logits(rebuilt.network, pixels))
    return Subject(
        provider,
        note,
        custom,
        rebuilt,
        model,
        open_session(path, provider, threads_of(config)[0]),
        pixels,
        Prepared(images.test_images) if model.input_dtype == np.uint8 else pixels,
        reference,
        _limits(config),
    )


def _limits(config: RunConfig) -> "Limits":
    from recycle_pipeline.evaluators.gates import Limits

    return Limits(
        max_difference=config.max_difference,
        min_agreement=config.min_agreement,
        max_accuracy_drop=config.max_accuracy_drop,
        min_top1=config.min_top1,
        max_slowdown=None if config.max_slowdown is None else 1 + config.max_slowdown,
    )


def threads_of(config: RunConfig) -> tuple[int, ...]:
    """Threads to time with, 0 being every core that this process may use.

    Where not asked for, one: two sessions with many threads each disturb one another by where their threads
    land. Equal models differed by 22 % on 16 cores, by 1 % with one thread.
    """
    from recycle_pipeline.evaluators.machine import usable_cores

    return tuple(dict.fromkeys(threads or usable_cores() for threads in config.timed_threads))


def torch_logits(network: "nn.Module", pixels: Prepared) -> NDArray[np.float32]:
    """Logits of the rebuilt network, batch norm not folded, on the CPU: (N, K)."""
    import torch

    starts = range(0, len(pixels), BATCH_SIZE)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(pixels[start : start + BATCH_SIZE])) for start in starts]
    logits: NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def has_gpu() -> bool:
    """Whether torch has a CUDA device."""
    import torch

    return torch.cuda.is_available()
