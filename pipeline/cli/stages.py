"""`export`: one stage of an existing run folder; `pack` and `verify` of one use the same."""

from pathlib import Path
from typing import Any

import click

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.console import reporter_for
from recycle_pipeline.pipeline.cli.sections import options
from recycle_pipeline.pipeline.cli.tables import show_after

FOLDER = click.argument("folder", type=click.Path())
FORCE = (click.option("--force", is_flag=True, help="Redo it even if nothing changed."),)
CUSTOM = (click.option("--arch", help="Repeat a custom package.module:function to allow its import."),)


@click.command(short_help="Write the network of a run folder's ticket as ONNX.")
@FOLDER
@options(opt.EXPORT, CUSTOM, FORCE, opt.OUTPUT)
def export(folder: str, **given: Any) -> None:
    """Rebuild the network of run FOLDER from its ticket, fold it, and write ONNX.

    \b
    Example:
      recycle-pipeline export runs/mine --export onnx --embed-preprocessing
    """
    run_one_stage("export", folder, given)


def run_one_stage(stage: str, folder: str, given: dict[str, Any]) -> None:
    """Runs a stage of a run folder and shows what came out; `given` are the command's options."""
    from recycle_pipeline.pipeline.runner import plan_stage

    quiet, as_json, force = given.pop("quiet"), given.pop("as_json"), given.pop("force")
    arch = given.pop("arch", None)
    if "export" in given:
        given["export"] = given["export"] or None
    changes = {name: value for name, value in given.items() if value is not None}
    plan = plan_stage(Path(folder), stage, changes, reporter_for(quiet), arch=arch, force=force)
    show_after(plan, as_json)
