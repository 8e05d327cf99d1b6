"""A ticket's network as a file for other tools: weights, a state dict, or ONNX."""

from dataclasses import dataclass
from pathlib import Path

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.checks import check_output_file

MODEL = ".onnx"
SUFFIXES = (".safetensors", ".pt", MODEL)


@dataclass(frozen=True)
class Reconstruction:
    """What was rebuilt.

    Attributes:
        tensors: how many, each equal to its digest.
        seed: of their draws.
        note: why batch norm was not folded, of an ONNX model; else "".
    """

    tensors: int
    seed: int
    note: str = ""


def check_output(ticket: Path, output: Path | None, arch: str | None) -> None:
    """Raises UsageFault where `rebuilt_and_written` could not do what is asked; nothing is read."""
    if output is not None:
        check_output_file("output", output, SUFFIXES)
        if output.exists() and ticket.exists() and output.samefile(ticket):
            raise UsageFault(f"--output {output} is the ticket itself: choose another name")
    if arch is not None and (output is None or output.suffix != MODEL):
        raise UsageFault(f"--arch {arch} has no effect but on an --output {MODEL}; leave it out")


def rebuilt_and_written(ticket: Path, output: Path | None, arch: str | None = None) -> Reconstruction:
    """Rebuilds a ticket's tensors, compares them with their digests, and writes them where that is asked.

    Args:
        ticket: path.
        output: where, atomically; its suffix is one of `SUFFIXES` and says in which form. None: nowhere.
        arch: the custom arch the ticket names, to allow its import for ONNX.

    Raises:
        UsageFault: no such ticket, or a custom arch without `arch`.
        CorruptArtefact: the ticket is damaged, or holds what is not finite; names the part.
        RecycleError: torch cannot export the network.
        OSError: the file cannot be written.
    """
    if output is not None and output.suffix == MODEL:
        return _as_model(ticket, output, arch)
    from recycle_pipeline.exporters.ticket.reader import read_verified
    from recycle_pipeline.pipeline.finite import require_finite

    subnetwork, arrays = read_verified(ticket)
    require_finite(subnetwork, str(ticket))
    if output is not None and output.suffix == ".pt":
        from recycle_pipeline.exporters.state_dict import write_state_dict  # torch, which takes a second

        write_state_dict(arrays, output)
    elif output is not None:
        from recycle_pipeline.exporters.weights import write_weights

        write_weights(arrays, output)
    return Reconstruction(len(arrays), subnetwork.seed)


def _as_model(ticket: Path, output: Path, arch: str | None) -> Reconstruction:
    from recycle_pipeline.pipeline.dense_model import fold_without_images, random_pixels, write_dense_model
    from recycle_pipeline.pipeline.rebuild import rebuild

    rebuilt = rebuild(ticket, arch=arch)
    folded = fold_without_images(rebuilt)
    pixels = random_pixels(rebuilt.subnetwork)
    write_dense_model(folded, rebuilt.subnetwork, ticket, output, shrink_on=pixels)
    return Reconstruction(len(rebuilt.arrays), rebuilt.subnetwork.seed, folded.reason)
