"""`doctor`: what is installed, what runs, what is missing and how to get it."""

import json
import platform
import sys
from typing import Any

import click


@click.command(short_help="Show what is installed, what runs and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def doctor(as_json: bool) -> None:
    """Show versions, ONNX Runtime providers and GPU, and what is missing.

    Exits 1 if something that every run needs does not work.

    \b
    Example:
      recycle-pipeline doctor
    """
    from recycle_pipeline.pipeline.cli.lines import hanging
    from recycle_pipeline.pipeline.cli.tables import console
    from recycle_pipeline.pipeline.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        facts: dict[str, Any] = {
            "python": platform.python_version(),
            "findings": [f.__dict__ for f in findings],
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        out = console()
        for finding in findings:
            mark = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}[finding.status]
            click.echo(f"{mark}  {hanging(f'{finding.what}: {finding.text}', 9, out)}")
            if finding.advice:
                click.echo(f"         -> {hanging(finding.advice, 12, out)}")
    if any(finding.status == "missing" for finding in findings):
        sys.exit(1)
