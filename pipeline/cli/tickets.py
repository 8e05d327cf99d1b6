"""`reconstruct` and `inspect`: what a ticket holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from recycle_pipeline.pipeline.cli.tables import console, described, path_size, size

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork

TICKET = click.argument("ticket", type=click.Path())


@click.command(short_help="Rebuild a ticket's tensors from its seed, compare digests.")
@TICKET
@click.option(
    "--output",
    type=click.Path(),
    help="Write the network here: weights as .safetensors, a state dict of torch as .pt, or the folded "
    "dense-equivalent model as .onnx.",
)
@click.option("--arch", help="Repeat a custom package.module:function to allow its import, for .onnx alone.")
def reconstruct(ticket: str, output: str | None, arch: str | None) -> None:
    """Rebuild every tensor of TICKET (a file, or a run folder) from its seed and compare digests.

    \b
    Examples:
      recycle-pipeline reconstruct runs/mine
      recycle-pipeline reconstruct ticket.safetensors --output weights.safetensors
      recycle-pipeline reconstruct ticket.safetensors --output weights.pt
      recycle-pipeline reconstruct ticket.safetensors --output model.onnx

    \b
    In Python, as a network ready for inference:
      from recycle_pipeline.pipeline import reconstruct
      network = reconstruct("ticket.safetensors")
    """
    from recycle_pipeline.pipeline.reconstruction import check_output, rebuilt_and_written
    from recycle_pipeline.pipeline.run_folder import ticket_path

    path = ticket_path(Path(ticket))
    target = None if output is None else Path(output)
    check_output(path, target, arch)
    done = rebuilt_and_written(path, target, arch)
    click.echo(f"{path}: {done.tensors} tensors rebuilt from seed {done.seed}, all equal to their digests")
    if done.note:
        click.echo(f"note: batch norm stays unfolded: {done.note}", err=True)
    if target is not None:
        click.echo(f"{target}: {path_size(target)}")


@click.command(short_help="Show what a ticket holds, layer by layer.")
@TICKET
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def inspect(ticket: str, as_json: bool) -> None:
    """Show what TICKET (a file, or a run folder) holds, layer by layer.

    \b
    Example:
      recycle-pipeline inspect runs/mine
    """
    from recycle_pipeline.exporters.ticket.reader import load_ticket
    from recycle_pipeline.models.subnetwork import mask_entropy_bytes
    from recycle_pipeline.pipeline.run_folder import ticket_path

    path = ticket_path(Path(ticket))
    subnetwork = load_ticket(path)
    facts = {
        "ticket": str(path),
        "bytes": path.stat().st_size,
        "mask_entropy_bytes": round(mask_entropy_bytes(subnetwork.tensors)),
        "arch": subnetwork.arch,
        "options": subnetwork.options.changed(),
        "subnetwork": subnetwork.kind,
        "seed": subnetwork.seed,
        "prune": subnetwork.prune,
        "scope": subnetwork.scope,
        "input": [subnetwork.channels, subnetwork.image_size, subnetwork.image_size],
        "classes": list(subnetwork.classes),
        "kept": subnetwork.kept,
        "weights": subnetwork.size,
        "layers": [_layer(t) for t in subnetwork.tensors],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts, subnetwork)


def _layer(tensor: Any) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "weights": tensor.size,
        "kept": tensor.kept,
        "moved": tensor.moved,
        "gain": None if tensor.gain is None else float(tensor.gain),
    }


def _print(facts: dict[str, Any], subnetwork: "Subnetwork") -> None:
    out = console()
    out.print(
        f"{facts['ticket']}: {size(facts['bytes'])}, bound of its masks {size(facts['mask_entropy_bytes'])}\n"
        f"{described(subnetwork)}, {len(subnetwork.classes)} classes, "
        f"input {subnetwork.channels} x {subnetwork.image_size} x {subnetwork.image_size}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, collapse_padding=True)  # fits 80 columns for ResNets
    table.add_column("layer")
    for heading in ("shape", "weights", "kept", "density", "moved", "gain"):
        table.add_column(heading, justify="right")
    for layer in (*facts["layers"], _total(facts)):
        table.add_row(
            Text(layer["name"]),
            "x".join(map(str, layer["shape"])),
            f"{layer['weights']:,}",
            f"{layer['kept']:,}",
            f"{layer['kept'] / layer['weights']:.2%}",
            f"{layer['moved']:,}",
            "" if layer["gain"] is None else f"{layer['gain']:.4f}",
        )
    out.print(table)


def _total(facts: dict[str, Any]) -> dict[str, Any]:
    sums = {key: sum(layer[key] for layer in facts["layers"]) for key in ("weights", "kept", "moved")}
    return {"name": "total", "shape": [], "gain": None, **sums}
