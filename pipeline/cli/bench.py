"""`bench`: latency and throughput of models beside one another."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.timing_options import HOW

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.bench import Row
    from recycle_pipeline.evaluators.samples import Spread

HEADINGS = (
    "median ms",
    "95 % interval",
    "p90",
    "p95",
    "p99",
    "images/s",
    "ratio to first",
    "",
    "load ms",
    "memory",
)
WHAT = opt.section(
    "What",
    click.option("--batch", "batches", type=int, multiple=True, help="Images a call; repeatable. [1]"),
    click.option("--threads", type=int, multiple=True, help="Within an operator; repeatable. [1]"),
    click.option("--seconds", type=float, default=10.0, help="For each batch size and thread count. [10]"),
)


@click.command(cls=opt.Sectioned, short_help="Time models beside one another.")
@click.argument("models", nargs=-1, required=True, type=opt.PATH)
@opt.options(WHAT, HOW, opt.OUTPUT)
def bench(models: tuple[Path, ...], **given: Any) -> None:
    """Time ONNX MODELS in turns, in fresh sessions again and again; ratios are to the first.

    \b
    Examples:
      recycle-pipeline bench runs/mine/onnx/*.onnx
      recycle-pipeline bench a.onnx b.onnx --batch 1 --batch 64 --threads 1 --threads 4 --json > bench.json
    """
    from recycle_pipeline.evaluators.bench import bench as measure
    from recycle_pipeline.evaluators.bench import settings_of
    from recycle_pipeline.evaluators.bench_report import bench_json

    settings = settings_of(
        given["batches"] or [1], given["threads"] or [1], given["provider"], given["transfers"]
    )

    def begins(setting: Any) -> None:
        if not given["quiet"]:
            click.echo(
                f"bench   batch {setting.batch}, threads {setting.threads}, {setting.provider}", err=True
            )

    rows = measure(
        models,
        settings,
        seconds=given["seconds"],
        isolation=given["isolation"],
        core=given["core"],
        seed=given["seed"],
        begins=begins,
    )
    if given["as_json"]:
        click.echo(json.dumps(bench_json(rows, given["seed"])))
    else:
        _show(rows)


def _show(rows: "list[Row]") -> None:
    from recycle_pipeline.evaluators.setting import TRANSFERS
    from recycle_pipeline.pipeline.cli.tables import console
    from recycle_pipeline.pipeline.wording import size

    out = console()
    for setting in dict.fromkeys(row.setting for row in rows):
        some = [row for row in rows if row.setting == setting]
        table = Table(box=None, pad_edge=False)
        for heading in ("model", *HEADINGS):
            table.add_column(heading, justify="left" if heading == "model" else "right")
        for row in some:
            samples, load = row.samples, row.load_s
            table.add_row(
                Text(str(row.model)),
                f"{row.median_ms.value:.4g}",
                f"{row.median_ms.low:.4g} to {row.median_ms.high:.4g}",
                *("-" if each is None else f"{each:.4g}" for each in (samples.p90, samples.p95, samples.p99)),
                f"{row.images_per_s:,.0f}",
                _ratio(row.ratio),
                row.speed,
                f"{1000 * load.value:.3g} ({1000 * load.low:.3g} to {1000 * load.high:.3g})",
                size(row.memory),
            )
        first = some[0]
        out.print(
            f"{setting}: {TRANSFERS[setting.transfers]}. n = {first.samples.n:,} samples a model in "
            f"{first.median_ms.n} blocks of fresh sessions, over which the intervals are; percentiles are of "
            "all samples, memory is of one process",
            soft_wrap=True,
        )
        out.print(table)


def _ratio(ratio: "Spread | None") -> str:
    return "-" if ratio is None else f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
