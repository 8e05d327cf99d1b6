"""`presets`: published searches by name, with their sources and figures."""

import json
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

if TYPE_CHECKING:
    from recycle_pipeline.pipeline.preset import Figure, Preset


@click.command(short_help="List published searches, for run and search --preset.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout, with all settings and figures.")
def presets(as_json: bool) -> None:
    """List published searches: every setting as its source had it, for run and search --preset.

    \b
    Examples:
      recycle-pipeline presets
      recycle-pipeline run --preset iwr-conv6-biprop --data-root ~/data

    Accuracies are top-1 on CIFAR-10. Most come from plot arrays and hold within about a point; those a
    README states are marked with a star. With another --prune the figure for that sparsity is looked up;
    with another network, kind of subnetwork or share of the layers none is shown.
    """
    from recycle_pipeline.pipeline.cli.tables import console
    from recycle_pipeline.pipeline.presets import PRESETS

    if as_json:
        click.echo(json.dumps([_facts(preset) for preset in PRESETS.values()], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("preset", "removed", "expected", "source"):  # the name says the arch; 80 columns
        table.add_column(heading, justify="right" if heading in ("removed", "expected") else "left")
    for preset in PRESETS.values():
        prune = preset.settings["prune"]
        figure = preset.expected_at(prune)
        source = preset.source.partition(",")[0]
        table.add_row(preset.name, f"{prune:g}", _accuracy(figure), source)
    console().print(table)


def _accuracy(figure: "Figure | None") -> str:
    if figure is None:
        return "none given"
    spread = "" if figure.spread is None else f" +- {figure.spread:.2%}"
    return f"{figure.top1:.2%}{spread}{' *' if figure.trust == 'high' else ''}"


def _facts(preset: "Preset") -> dict[str, Any]:
    return {
        "name": preset.name,
        "source": preset.source,
        "settings": dict(preset.settings),
        "expected": [dict(vars(figure)) for figure in preset.expected],
        "differs": list(preset.differs),
    }
