"""What `gate` prints: progress on stderr, the verdict and its numbers on stdout."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from recycle_pipeline.pipeline.cli.tables import console
from recycle_pipeline.pipeline.wording import with_interval

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
    import numpy as np

    from recycle_pipeline.evaluators.samples import spread

    model, reference = stored.median_ms
    found = spread(np.exp([each.between for each in stored.contrasts["latency"]]))
    _show(
        [
            ("stored", str(target)),
            ("model", stored.model["path"]),
            ("latency", f"{with_interval(found, '.4f')} of the reference's: 95 % over n = {found.n} blocks"),
            ("here", f"medians of {model:.4g} ms and {reference:.4g} ms, which mean nothing elsewhere"),
        ]
    )


def gate_rows(report: "GateReport") -> list[tuple[str, str]]:
    """The rows, as plain text."""
    candidate, beside = map(with_interval, report.times)
    return [
        (WORDS[report.outcome], f"{report.candidate} against {report.baseline['path']}"),
        *((verdict.name, f"{verdict.outcome}: {verdict.sentence}") for verdict in report.verdicts),
        ("latency", f"{candidate} ms, {report.beside} {beside} ms: {report.latency.speed}"),
        (
            "measured",
            f"{report.latency.n} blocks of 2 sessions each, over which intervals are (95 % where not said), "
            f"{report.rounds:,} rounds, in {report.measured.seconds:.1f} s; {report.plan.setting}",
        ),
        *(("note", note) for note in report.notes),
    ]


def _show(rows: list[tuple[str, str]]) -> None:
    out = console()
    for name, text in rows:
        out.print(Text.assemble((f"{name:{INDENT}}", "bold"), text), soft_wrap=True)
