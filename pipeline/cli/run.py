"""`run`, the whole job, and `search`, its first stage."""

import json
from pathlib import Path
from typing import Any

import click

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.console import reporter_for
from recycle_pipeline.pipeline.cli.sections import Sectioned, options, section
from recycle_pipeline.pipeline.cli.tables import show_after

DRY_RUN = section(
    "Output", click.option("--dry-run", is_flag=True, help="Show settings and stages; write nothing.")
)
SEARCH = (*opt.WHAT, *opt.DATA, *opt.SEARCH, *opt.REUSE, *opt.RECIPE)


@click.command(cls=Sectioned, short_help="The whole job: search, pack, export, verify.")
@options(SEARCH, opt.TICKET, opt.EXPORT, opt.VERIFY, opt.FOLDER, DRY_RUN, opt.OUTPUT)
def run(**given: Any) -> None:
    """Search a subnetwork, store its ticket, export it to ONNX and verify it.

    \b
    Examples:
      recycle-pipeline run --arch resnet18 --prune 0.9 --export onnx
      recycle-pipeline run --data cifar10 --data-root ~/data --epochs 100 --device cuda
      recycle-pipeline run --data folder:photos --image-size 64 --keep 0.05 --json
      recycle-pipeline run --preset iwr-conv6-biprop --data-root ~/data

    --arch, --data, --prune and --epochs are what most runs set. Every other option has a default, in
    [brackets], that suits them; docs/methods.md says what each method is and when to use it.

    Stages whose inputs did not change are skipped, so of an interrupted run the finished stages are kept.
    """
    _start(("search", "pack", "export", "verify"), given)


@click.command(cls=Sectioned)
@options(SEARCH, opt.FOLDER, DRY_RUN, opt.OUTPUT)
def search(**given: Any) -> None:
    """Search a subnetwork only. Then: pack, export, verify, on the folder it prints.

    \b
    Example:
      recycle-pipeline search --arch conv6 --subnetwork continuous --prune 0.5 --output-dir runs/mine
    """
    _start(("search",), given)


def _start(stages: tuple[str, ...], given: dict[str, Any]) -> None:
    from recycle_pipeline.pipeline.api import merge
    from recycle_pipeline.pipeline.config_file import as_toml, read_config_file
    from recycle_pipeline.pipeline.given import asked
    from recycle_pipeline.pipeline.processes import ranks_here
    from recycle_pipeline.pipeline.runner import plan_run
    from recycle_pipeline.pipeline.trial_export import require_exportable

    quiet, as_json, dry_run = given.pop("quiet"), given.pop("as_json"), given.pop("dry_run")
    file, force = given.pop("config_file"), given.pop("force")
    given["export"] = given.get("export") or None
    from_file = read_config_file(Path(file), given["arch"]) if file else {}
    settings = asked(given, merge(from_file, given))
    plan = plan_run(settings, reporter_for(quiet), stages, force)
    if dry_run and ranks_here().rank:
        return
    if dry_run and as_json:
        facts = {
            "folder": str(plan.context.folder.root),
            "stages": stages,
            "config": plan.context.config.to_dict(),
        }
        click.echo(json.dumps(facts, indent=2))
        return
    if dry_run:
        click.echo(f"# {plan.context.folder.root}: {', '.join(stages)} (dry run, nothing written)")
        click.echo(as_toml(plan.context.config), nl=False)
        return
    require_exportable(plan)
    show_after(plan, as_json)
