"""Stage `pack`: search.safetensors to ticket.safetensors, rebuilt from the seed and compared first."""

from pathlib import Path
from typing import Any

from recycle_pipeline.pipeline.stages.stage import Context, Stage, input_file


def _inputs(context: Context) -> dict[str, str]:
    return {"searched": input_file(context, context.folder.searched, "search")}


def _outputs(context: Context) -> list[Path]:
    return [context.folder.ticket]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.exporters.ticket.reader import read_verified
    from recycle_pipeline.exporters.ticket.writer import write_ticket
    from recycle_pipeline.models.subnetwork import mask_entropy_bytes

    context.reporter.stage("pack", "rebuild every tensor from the seed, compare, store the ticket")
    searched, ticket = context.folder.searched, context.folder.ticket
    subnetwork, arrays = read_verified(searched)
    write_ticket(subnetwork, ticket)
    return {
        "tensors": len(arrays),
        "bytes": ticket.stat().st_size,
        "dense_bytes": 4 * subnetwork.size,
        "mask_entropy_bytes": round(mask_entropy_bytes(subnetwork.tensors)),
        "moved": sum(tensor.moved for tensor in subnetwork.tensors),
    }


PACK = Stage("pack", schema=1, config_keys=(), inputs=_inputs, outputs=_outputs, work=_work)
