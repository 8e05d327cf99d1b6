"""`report`: what runs came to, as a page, as Markdown or as JSON."""

from pathlib import Path

import click


@click.command(short_help="Write what runs came to: HTML, Markdown or JSON.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    help="html: one file that needs no network; md: for a pull request; json: for programs. [html]",
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="Where to write it. [html: report.html in the run folder, or comparison.html here of several "
    "runs; md and json: stdout]",
)
def report(runs: tuple[str, ...], form: str, output: str | None) -> None:
    """Show what a RUN folder came to, verdict first, or compare several.

    \b
    Examples:
      recycle-pipeline report runs/mine
      recycle-pipeline report runs/mine --format md
      recycle-pipeline report runs/mine runs/third --output both.html
      recycle-pipeline report runs/mine --format json --output mine.json

    Stages that are missing are named with the command that makes them. The exit code is 0 whatever the
    verdict is: gates are for `verify`.
    """
    from recycle_pipeline.pipeline.cli.tables import path_size
    from recycle_pipeline.pipeline.report.write import FORMATS, written

    chosen = next(known for known in FORMATS if known == form)
    path, text = written([Path(run) for run in runs], chosen, None if output is None else Path(output))
    if path is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{path}: {path_size(path)}")
