"""`verify`: of a run folder the stage, of model files a table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table as RichTable
from rich.text import Text

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.sections import Sectioned, options, section
from recycle_pipeline.pipeline.cli.stages import CUSTOM, FORCE, run_one_stage

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.accuracy import Accuracy
    from recycle_pipeline.evaluators.verify_models import Table

SUFFIX = ".onnx"
HEADINGS = ("model", "size", "provider", "top-1", "top-5", "same top-1", "difference")
# What the two uses have alone.
OF_MODELS = ("data", "data_root", "image_size", "ticket", "config_file", "junit", "per_class")
OF_FOLDERS = ("max_slowdown", "timed_batch", "timed_threads", "arch")
MODELS = section(
    "Of model files",
    click.option("--data", help="digits, cifar10, ... or folder:PATH. [that of the run folder around them]"),
    click.option("--data-root", type=opt.PATH, help="Where CIFAR and MNIST lie."),
    click.option("--image-size", type=int, help="Side to which a folder's images are brought."),
    click.option(
        "--ticket",
        type=opt.PATH,
        help="Compare with its network in torch. [that of the run folder; else the first model]",
    ),
    click.option("--per-class", is_flag=True, help="Show the accuracy of each class."),
    click.option("--config", "config_file", type=opt.PATH, help="TOML file of these gates and data."),
    click.option("--junit", type=opt.PATH, help="Write the verdicts as JUnit XML."),
)


@click.command(cls=Sectioned, short_help="Compare exported models with torch and labels, behind gates.")
@click.argument("paths", nargs=-1, required=True, type=opt.PATH, metavar="FOLDER | MODEL...")
@options(opt.VERIFY, MODELS, CUSTOM, FORCE, opt.OUTPUT)
def verify(paths: tuple[Path, ...], **given: Any) -> None:
    """Verify the exported model of run FOLDER, or ONNX MODELS in one table: parity, accuracy, gates.

    Of a folder every gate has a default, and latency is judged beside the dense twin. Of model files only the
    gates that are given are judged; for their latency see `bench` and `gate`.

    \b
    Examples:
      recycle-pipeline verify runs/mine --provider cpu --min-top1 0.98
      recycle-pipeline verify runs/mine/onnx/*.onnx --max-accuracy-drop 0.005
      recycle-pipeline verify a.onnx b.onnx --data folder:photos --max-difference 1e-4 --json
    """
    files = [path for path in paths if path.suffix == SUFFIX]
    if not files and len(paths) == 1:
        _refuse(given, OF_MODELS, "model files", str(paths[0]))
        run_one_stage("verify", str(paths[0]), {k: v for k, v in given.items() if k not in OF_MODELS})
        return
    if len(files) != len(paths):
        raise click.UsageError(f"Expected one run folder, or files that end in {SUFFIX}; got {_said(paths)}.")
    _refuse(given, OF_FOLDERS, "a run folder", _said(paths))
    _verify_models(files, given)


def _verify_models(files: list[Path], given: dict[str, Any]) -> None:
    from recycle_pipeline.evaluators.gates import raise_for
    from recycle_pipeline.exporters.atomic import write_text
    from recycle_pipeline.pipeline.ci.junit import junit
    from recycle_pipeline.pipeline.scoring import Data, score_models

    asked = _settings(given)
    root = asked.get("data_root")
    data = Data(asked.get("data"), Path(root) if root else None, asked.get("image_size"))
    limits = _limits(asked)
    table = score_models(files, data, asked.get("provider", "auto"), limits, ticket=given["ticket"])
    if given["junit"]:
        write_text(given["junit"], junit("recycle-pipeline verify", table.named_verdicts, 0.0))
    if given["as_json"]:
        click.echo(json.dumps(table.to_json()))
    else:
        _show(table, per_class=given["per_class"])
    raise_for(table.named_verdicts)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the file, then of the options."""
    from recycle_pipeline.pipeline.config_file import read_config_file

    file = read_config_file(given["config_file"]) if given["config_file"] else {}
    of_file = {name.replace("-", "_"): value for name, value in file.items()}
    return of_file | {name: value for name, value in given.items() if value is not None}


def _limits(asked: Mapping[str, Any]) -> Any:
    from recycle_pipeline.evaluators.gates import Limits

    if asked.get("min_agreement") is not None and asked.get("max_difference") is None:
        raise UsageFault("--min-agreement counts images within --max-difference; give that too.")
    names = ("max_difference", "min_agreement", "max_accuracy_drop", "min_top1")
    return Limits(**{name: asked.get(name) for name in names})


def _show(table: "Table", *, per_class: bool) -> None:
    from recycle_pipeline.pipeline.cli.tables import console, path_size

    out = console()
    out.print(
        f"{table.n:,} test images of {table.data}, in brackets 95 % intervals over them; reference: "
        f"{table.reference}, top-1 {_share(table.reference_top1)}",
        soft_wrap=True,
        markup=False,
    )
    rows = _empty(HEADINGS)
    rows.add_column("gates")
    for row in table.rows:
        gates = [f"{v.name} {v.outcome}" for v in row.verdicts if v.outcome != "not-asked"]
        rows.add_row(
            Text(str(row.model.path)),
            path_size(row.model.path),
            row.model.provider,
            _share(row.top1),
            _share(row.top5),
            f"{row.parity.top1_agreement:.2%}",
            f"{row.parity.max_difference:.1e}",
            ", ".join(gates) or "none asked",
        )
    out.print(rows)
    if per_class:
        out.print(_classes(table))
    for note in table.notes:
        out.print(f"note: {note}", soft_wrap=True, markup=False)


def _classes(table: "Table") -> RichTable:
    rows = _empty(("class", "images", *(row.model.path.name for row in table.rows)))
    for which, name in enumerate(table.classes):
        found = [row.per_class[which] for row in table.rows]
        n = next((each.n for each in found if each), 0)
        rows.add_row(Text(name), str(n), *("-" if each is None else _share(each) for each in found))
    return rows


def _empty(headings: Sequence[str]) -> RichTable:
    """The first column holds names, the others numbers."""
    rows = RichTable(box=None, pad_edge=False)
    for heading in headings:
        rows.add_column(heading, justify="right" if rows.columns else "left")
    return rows


def _share(found: "Accuracy") -> str:
    return f"{found.top1:.2%} ({found.low:.2%} to {found.high:.2%})"


def _refuse(given: Mapping[str, Any], names: tuple[str, ...], use: str, what: str) -> None:
    for name in names:
        if given[name]:
            option = "--config" if name == "config_file" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for {use}; {what} was given.")


def _said(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths))
