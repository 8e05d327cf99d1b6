"""`compare`: what two tickets share."""

import json
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pathlib import Path

    from recycle_pipeline.evaluators.overlap import Overlap
    from recycle_pipeline.models.subnetwork import Subnetwork

HEADINGS = ("kept A", "kept B", "equal", "differ", "share", "Jaccard", "chance", "signs")


@click.command(short_help="Show what two tickets share: masks, weights, signs.")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def compare(a: str, b: str, as_json: bool) -> None:
    """Show what the tickets A and B (files, run folders, or hf://owner/name) share, layer by layer.

    \b
    Example:
      recycle-pipeline compare runs/mine runs/third

    \b
    equal    masks, and weights bit for bit: all, masks, weights or no
    differ   weights that one keeps and the other does not (Hamming distance)
    share    those of all weights
    Jaccard  kept by both / kept by either
    chance   the same of random masks: expected overlap / expected union
             of two that are independent and keep as many
    signs    of the weights that both keep, those of one sign; by chance 50%

    Both are rebuilt and compared with their digests. The exit code is 0 whatever they share.
    """
    from recycle_pipeline.evaluators.overlap import overlaps, state_differences, total
    from recycle_pipeline.exporters.ticket.reader import read_verified
    from recycle_pipeline.pipeline.cli.tables import console, described
    from recycle_pipeline.pipeline.hub import local_ticket

    paths = [local_ticket(a), local_ticket(b)]
    one, other = (read_verified(path)[0] for path in paths)
    layers, state = overlaps(one, other), state_differences(one, other)
    if as_json:
        facts = _facts(paths, [one, other], [*layers, total(layers)], state)
        click.echo(json.dumps(facts, indent=2))
        return
    out = console()
    for letter, path, subnetwork in zip("AB", paths, (one, other), strict=True):
        out.print(f"{letter}  {path}: {described(subnetwork)}", markup=False, soft_wrap=True)
    out.print(_table([*layers, total(layers)]))
    count = len(one.state.keys() | other.state.keys())
    out.print(f"other arrays (batch-norm statistics, biases): {count - len(state)} of {count} equal")


def _table(rows: "list[Overlap]") -> Table:
    from recycle_pipeline.pipeline.wording import compact

    table = Table(box=None, pad_edge=False, collapse_padding=True)  # fits 80 columns for ResNets
    table.add_column("layer")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            Text(row.name),
            compact(row.kept_a),
            compact(row.kept_b),
            _equal(row),
            compact(row.hamming),
            f"{row.hamming / row.size:.2%}",
            _or_none(row.jaccard, ".4f"),
            _or_none(row.jaccard_by_chance, ".4f"),
            _or_none(row.sign_agreement, ".1%"),
        )
    return table


def _equal(row: "Overlap") -> str:
    if row.masks_equal:
        return "all" if row.weights_equal else "masks"
    return "weights" if row.weights_equal else "no"  # masks may differ where values are 0


def _or_none(value: float | None, form: str) -> str:
    return "none" if value is None else f"{value:{form}}"


def _facts(
    paths: "list[Path]", subnetworks: "list[Subnetwork]", rows: "list[Overlap]", state: list[str]
) -> dict[str, Any]:
    *layers, whole = rows
    return {
        **{
            letter: {
                "ticket": str(path),
                "arch": subnetwork.arch,
                "options": subnetwork.options.changed(),
                "subnetwork": subnetwork.kind,
                "seed": subnetwork.seed,
                "prune": subnetwork.prune,
                "scope": subnetwork.scope,
            }
            for letter, path, subnetwork in zip("ab", paths, subnetworks, strict=True)
        },
        "differing_state": state,
        "total": _row(whole),
        "layers": [_row(layer) for layer in layers],
    }


def _row(row: "Overlap") -> dict[str, Any]:
    return {
        "name": row.name,
        "weights": row.size,
        "kept_a": row.kept_a,
        "kept_b": row.kept_b,
        "kept_by_both": row.both,
        "masks_equal": row.masks_equal,
        "weights_equal": row.weights_equal,
        "hamming": row.hamming,
        "hamming_share": row.hamming / row.size,
        "jaccard": row.jaccard,
        "jaccard_by_chance": row.jaccard_by_chance,
        "sign_agreement": row.sign_agreement,
    }
