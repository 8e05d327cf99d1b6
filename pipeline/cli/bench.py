"""`bench`: latency and throughput of models beside one another."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.sections import Sectioned, options, section
from recycle_pipeline.pipeline.cli.timing_options import HOW
from recycle_pipeline.pipeline.wording import size, with_interval

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.bench import Row

WHAT = section(
    "What",
    click.option("--batch", "batches", type=int, multiple=True, help="Images a call; repeatable. [1]"),
    click.option("--threads", type=int, multiple=True, help="Within an operator; repeatable. [1]"),
    click.option("--seconds", type=float, default=10.0, help="For each batch size and thread count. [10]"),
)


@click.command(cls=Sectioned, short_help="Time models beside one another.")
@click.argument("models", nargs=-1, required=True, type=opt.PATH)
@options(WHAT, HOW, opt.OUTPUT)
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

    out = console()
    for setting in dict.fromkeys(row.setting for row in rows):
        some = [row for row in rows if row.setting == setting]
        first = some[0]
        out.print(
            f"{setting}: {TRANSFERS[setting.transfers]}. n = {first.samples.n:,} samples a model in "
            f"{first.median_ms.n} blocks of fresh sessions. In brackets 95 % intervals: over blocks, those "
            "of percentiles over all samples; memory is of a single process",
            soft_wrap=True,
        )
        out.print(_table(("median ms", "images/s", "ratio to first", ""), some, _speeds))
        out.print(_table(("p90 ms", "p95 ms", "p99 ms", "load ms", "memory"), some, _others))


def _table(headings: Sequence[str], rows: "list[Row]", cells: "Callable[[Row], list[str]]") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("model", *headings):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in rows:
        table.add_row(Text(str(row.model)), *cells(row))
    return table


def _speeds(row: "Row") -> list[str]:
    return [
        with_interval(row.median_ms),
        with_interval(row.throughput, ",.0f"),
        with_interval(row.ratio, ".3f") if row.ratio else "-",
        row.speed,
    ]


def _others(row: "Row") -> list[str]:
    from recycle_pipeline.pipeline.report.estimate import quantile
    from recycle_pipeline.pipeline.report.tables import with_ends

    tails = (quantile(row.samples.ms, fraction) for fraction in (0.9, 0.95, 0.99))
    return [*map(with_ends, tails), with_interval(row.load_s, ".3g", 1000), size(row.memory)]
