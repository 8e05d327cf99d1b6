"""Reports as files: of one run beside it, of several where the user says."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.pipeline.checks import check_output_file
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.manifest import digest_if_there
from recycle_pipeline.pipeline.report.collect import Run, public, read_runs
from recycle_pipeline.pipeline.report.damage import values_of_stages
from recycle_pipeline.pipeline.run_folder import RunFolder, existing_run
from recycle_pipeline.pipeline.version import VERSION

Format = Literal["html", "md", "json"]
FORMATS: tuple[Format, ...] = ("html", "md", "json")
COMPARISON = Path("comparison.html")
LAYOUT = 4  # raise it when the same facts give another page


def report_text(roots: Sequence[Path], form: Format) -> str:
    """The report of these run folders.

    Raises:
        UsageFault: one is not a run folder.
        CorruptArtefact: a file of one is damaged.
    """
    with values_of_stages(roots):
        runs = read_runs(roots)
        facts = [run.facts for run in runs]
        if form == "json":
            from recycle_pipeline.pipeline.report.json_form import to_json

            return json.dumps(to_json(facts), indent=1) + "\n"
        if form == "md":
            from recycle_pipeline.pipeline.report.markdown import to_markdown

            return to_markdown(facts)
        return _page(runs)


def written(roots: Sequence[Path], form: Format, output: Path | None) -> tuple[Path | None, str]:
    """Writes a report; returns where, and its text. Where None, it is for stdout.

    Args:
        roots: run folders.
        form: of the report.
        output: a file; None for the place that the form has by itself.

    Raises:
        UsageFault: one is not a run folder, or the file may not bear that name.
        CorruptArtefact: a file of a run is damaged.
        OSError: it cannot be written.
    """
    if output is not None:
        check_output_file("output", output, (".html", ".htm") if form == "html" else (f".{form}",))
    if output is None and form == "html":
        if len(roots) == 1:
            folder = existing_run(roots[0])
            refresh_report(folder)
            return folder.report, folder.report.read_text("utf-8")
        output = COMPARISON
    text = report_text(roots, form)
    if output is not None:
        write_text(output, text)
    return output, text


def refresh_report(folder: RunFolder) -> None:
    """Makes report.html say what the folder holds now; what it was made of is in its last line.

    Raises:
        CorruptArtefact: a file of the run is damaged.
        OSError: it cannot be written.
    """
    stamp = _stamp(folder)
    if folder.report.is_file() and folder.report.read_text("utf-8", "replace").endswith(stamp):
        return
    write_text(folder.report, report_text([folder.root], "html") + stamp)


def _page(runs: Sequence[Run]) -> str:
    from recycle_pipeline.pipeline.report.html import comparison_page, run_page

    return run_page(runs[0]) if len(runs) == 1 else comparison_page(runs)


def _stamp(folder: RunFolder) -> str:
    """A comment that is another one where anything which a report is made of is another."""
    sources = (
        folder.manifest,
        folder.metrics,
        folder.live_metrics,
        folder.ticket,
        folder.searched,
        folder.verify,
    )
    parts: list[Any] = [LAYOUT, VERSION, folder.root.resolve().name, public(read_run_config(folder.config))]
    forms = (path for form in FORMS for path in (folder.model(form), folder.rejection(form)))
    parts += [digest_if_there(path) for path in (*sources, *forms)]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    return f"<!-- of {digest} -->\n"
