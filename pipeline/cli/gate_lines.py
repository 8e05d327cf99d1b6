"""What `gate` prints: progress on stderr, the verdict and its numbers on stdout."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from recycle_pipeline.pipeline.cli.tables import console

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.ab import Judgements
    from recycle_pipeline.evaluators.gate_report import GateReport
    from recycle_pipeline.evaluators.stored import Stored

WORDS = {"passed": "PASS", "failed": "REGRESSION", "inconclusive": "INCONCLUSIVE"}
INDENT = 21  # columns: the longest name, and two
EVERY = 8  # blocks between lines where they cannot be written over


class GateProgress:
    """A line on stderr after each block, written over the last one on a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()

    def say(self, found: "Judgements") -> None:
        """Takes what the blocks say so far."""
        latency = found["latency"]
        clear = all(each.outcome != "inconclusive" for each in found.values())
        if self._quiet or not (self._live or clear or latency.n % EVERY == 1):
            return
        low, high = ("?" if end is None else f"{end:.3f}" for end in (latency.low, latency.high))
        line = f"block {latency.n:3}  ratio {latency.ratio:.3f} ({low} to {high}), limit {latency.limit:.3f}"
        end = "\r" if self._live and not clear else "\n"
        print(f"gate    {line:56}", end=end, file=sys.stderr, flush=True)


def show_gate(report: "GateReport") -> None:
    """The verdict first, then a row for each quantity."""
    _show(gate_rows(report))


def show_stored(stored: "Stored", target: Path, as_json: bool) -> None:
    """Where a baseline was stored, and what is in it."""
    if as_json:
        click.echo(json.dumps(stored.to_json()))
        return
    n = len(stored.contrasts["latency"])
    model, reference = stored.median_ms
    rows = [("stored", str(target)), ("model", stored.model["path"])]
    text = f"{model:.4g} ms, {model / reference:.4f} of the reference's {reference:.4g} ms, n = {n} blocks"
    _show([*rows, ("latency", text)])


def gate_rows(report: "GateReport") -> list[tuple[str, str]]:
    """The rows, as plain text."""
    candidate, beside = report.median_ms
    return [
        (WORDS[report.outcome], f"{report.candidate} against {report.baseline['path']}"),
        *((verdict.name, f"{verdict.outcome}: {verdict.sentence}") for verdict in report.verdicts),
        ("latency", f"{candidate:.4g} ms, {report.beside} {beside:.4g} ms: {report.latency.speed}"),
        (
            "measured",
            f"{report.latency.n} blocks of 2 sessions each, {report.rounds:,} rounds, in "
            f"{report.measured.seconds:.1f} s; {report.plan.setting}",
        ),
        *(("note", note) for note in report.notes),
    ]


def _show(rows: list[tuple[str, str]]) -> None:
    out = console()
    for name, text in rows:
        out.print(Text.assemble((f"{name:{INDENT}}", "bold"), text), soft_wrap=True)
