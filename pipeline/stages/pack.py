"""Stage `pack`: search.safetensors to ticket.safetensors, rebuilt from the seed and compared first."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.stage import Context, Stage, input_file

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork

FROM_FILE = "weights"  # the input of a ticket that was packed from a file: see pipeline/pack_file.py


def packed_from_file(folder: RunFolder) -> bool:
    """Whether the folder's ticket came from a file, and not from a search."""
    stages = read_manifest(folder.manifest).stages
    return "search" not in stages and "pack" in stages and FROM_FILE in stages["pack"].inputs


def _inputs(context: Context) -> dict[str, str]:
    root = context.folder.root
    if packed_from_file(context.folder):
        raise UsageFault(
            f"{root} was packed from a file and has no search; to pack it again give the file: "
            f"`recycle-pipeline pack FILE --output-dir {root} --force` and the options of the first time"
        )
    return {"searched": input_file(context, context.folder.searched, "search")}


def _outputs(context: Context) -> list[Path]:
    return [context.folder.ticket]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.exporters.ticket.reader import read_verified
    from recycle_pipeline.exporters.ticket.rounding import FRACTION, with_rounded_statistics
    from recycle_pipeline.exporters.ticket.writer import write_ticket
    from recycle_pipeline.pipeline.finite import require_finite

    context.reporter.stage("pack", "rebuild every tensor from the seed, compare, store the ticket")
    searched, ticket = context.folder.searched, context.folder.ticket
    subnetwork, _ = read_verified(searched)
    require_finite(subnetwork, str(searched))
    if (bits := context.config.statistics_bits) < FRACTION:
        context.reporter.stage("pack", f"note: batch norm's numbers are rounded to {bits} bits of fraction")
        subnetwork = with_rounded_statistics(subnetwork, bits)
    write_ticket(subnetwork, ticket)
    return pack_facts(subnetwork, ticket)


def pack_facts(subnetwork: "Subnetwork", ticket: Path) -> dict[str, Any]:
    """What the manifest says of a ticket."""
    from recycle_pipeline.models.subnetwork import mask_entropy_bytes

    return {
        "tensors": len(subnetwork.tensors) + len(subnetwork.state),
        "bytes": ticket.stat().st_size,
        "dense_bytes": 4 * subnetwork.size,
        "mask_entropy_bytes": round(mask_entropy_bytes(subnetwork.tensors)),
        "moved": sum(tensor.moved for tensor in subnetwork.tensors),
    }


PACK = Stage(
    "pack",
    schema=1,
    config_keys=("statistics_bits",),
    unsaid={"statistics_bits": 23},
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
