"""What a ticket holds, as facts and as a table: weights, and the bytes they take."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from recycle_pipeline.pipeline.cli.tables import console, described
from recycle_pipeline.pipeline.wording import compact, size

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

HEADINGS = ("shape", "kept", "density", "moved", "bytes", "bound", "share")
ADDED_UP = ("weights", "kept", "moved", "bytes", "bound_bytes", "share")


def facts_of(path: Path, subnetwork: "Subnetwork") -> dict[str, Any]:
    """What `inspect --json` prints of a ticket at `path`."""
    from recycle_pipeline.exporters.ticket.sizes import sizes_of
    from recycle_pipeline.models.subnetwork import mask_entropy_bytes

    content = path.read_bytes()
    sizes = sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
    layers = [_layer(tensor, sizes.layers[tensor.name], len(content)) for tensor in subnetwork.tensors]
    return {
        "ticket": str(path),
        "bytes": len(content),
        "layer_bytes": round(sum(sizes.layers.values())),
        "state_bytes": sizes.state,
        "header_bytes": sizes.header,
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
        "layers": layers,
    }


def _layer(tensor: "MaskedTensor", taken: float, whole: int) -> dict[str, Any]:
    from recycle_pipeline.models.subnetwork import bits_entropy_bytes

    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "weights": tensor.size,
        "kept": tensor.kept,
        "moved": tensor.moved,
        "gain": None if tensor.gain is None else float(tensor.gain),
        "bytes": round(taken),
        "bound_bytes": round(bits_entropy_bytes(tensor), 1),
        "share": taken / whole,
    }


def print_facts(facts: dict[str, Any], subnetwork: "Subnetwork") -> None:
    """The same as a table, which fits 80 columns for ResNets."""
    out = console()
    words = {"layers": "layer_bytes", "statistics": "state_bytes", "header": "header_bytes"}
    parts = (f"{word} {size(facts[key])}" for word, key in words.items())
    out.print(
        f"{facts['ticket']}: {size(facts['bytes'])} ({', '.join(parts)})\n"
        f"{described(subnetwork)}, {len(subnetwork.classes)} classes, "
        f"input {subnetwork.channels} x {subnetwork.image_size} x {subnetwork.image_size}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("layer")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    total = {key: sum(layer[key] for layer in facts["layers"]) for key in ADDED_UP}
    for layer in (*facts["layers"], {"name": "total", "shape": [], **total}):
        table.add_row(
            Text(layer["name"]),
            "x".join(map(str, layer["shape"])),
            compact(layer["kept"]),
            f"{layer['kept'] / layer['weights']:.2%}",
            compact(layer["moved"]),
            compact(layer["bytes"]),
            compact(round(layer["bound_bytes"])),
            f"{layer['share']:.2%}",
        )
    out.print(table)
