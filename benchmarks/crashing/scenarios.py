"""What is killed: a command, and what lies there before it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NETWORK = ("--arch", "conv2", "--width", "0.25", "--epochs", "4", "--batch-size", "256", "--device", "cpu")
FORMS = "onnx,onnx-compact,onnx-int8"
RUN = ("run", *NETWORK, "--output-dir", "run")


@dataclass(frozen=True)
class Scenario:
    """A command and its surroundings; paths are relative to the current folder.

    Attributes:
        line: the command, which is also what resumes it.
        before: commands that were finished before.
        prepare: makes files in the current folder.
        forced: stages that the command redoes in any case.
    """

    line: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    prepare: Callable[[Path], None] = lambda folder: None
    forced: tuple[str, ...] = ()


def write_photos(folder: Path) -> None:
    """48 images of 8 px, gray, in three classes."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number, name in enumerate("abc"):
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(16):
            pixels = generator.integers(60 * number, 60 * number + 90, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{index:02}.bmp")


def write_weights(folder: Path) -> None:
    """A pruned state dict of conv2: signs times one magnitude a layer."""
    import torch
    from safetensors.torch import save_file

    from recycle_pipeline.models.options import ArchOptions
    from recycle_pipeline.models.registry import build

    torch.manual_seed(0)
    network = build("conv2", classes=10, channels=1, image_size=8, options=ArchOptions(0.25))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        if tensor.ndim > 1:
            state[name] = torch.where(torch.rand_like(tensor) < 0.2, tensor.sign() * 0.1, 0.0)
    save_file(state, folder / "weights.safetensors")


SCENARIOS = {
    "run": Scenario((*RUN, "--export", FORMS)),
    "another run in its place": Scenario(
        (*RUN, "--seed", "1", "--force", "search"), before=(RUN,), forced=("search",)
    ),
    "other forms": Scenario((*RUN, "--export", FORMS), before=(RUN,)),
    "stages again": Scenario(
        (*RUN, *(word for name in ("pack", "export", "verify") for word in ("--force", name))),
        before=(RUN,),
        forced=("pack", "export", "verify"),
    ),
    "large folder": Scenario((*RUN, "--data", "folder:photos"), prepare=write_photos),
    "pack a file": Scenario(
        ("pack", "weights.safetensors", *NETWORK[:4], "--data", "digits", "--output-dir", "run"),
        prepare=write_weights,
    ),
}
