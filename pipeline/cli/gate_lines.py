"""What `gate` prints: progress on stderr, the verdict and its numbers on stdout."""

import sys
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from recycle_pipeline.pipeline.cli.tables import console

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.ab import Quantity
    from recycle_pipeline.evaluators.gate import GateReport
    from recycle_pipeline.evaluators.slowdown import Judgement

WORDS = {"passed": "PASS", "failed": "REGRESSION", "inconclusive": "INCONCLUSIVE"}
INDENT = 21  # columns: the longest name, and two


class GateProgress:
    """A line on stderr after each block, written over the last one on a terminal; every eighth elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()

    def say(self, found: "dict[Quantity, Judgement]") -> None:
        """Takes what the blocks say so far."""
        latency = found["latency"]
        clear = all(each.outcome != "inconclusive" for each in found.values())
        if self._quiet or not (self._live or clear or latency.n % 8 == 1):
            return
        low, high = ("?" if end is None else f"{end:.3f}" for end in (latency.low, latency.high))
        line = f"block {latency.n:3}  ratio {latency.ratio:.3f} ({low} to {high}), limit {latency.limit:.3f}"
        end = "\r" if self._live and not clear else "\n"
        print(f"gate    {line:60}", end=end, file=sys.stderr, flush=True)


def show_gate(report: "GateReport") -> None:
    """The verdict first, then a row for each quantity."""
    out = console()
    for name, text in gate_rows(report):
        out.print(Text.assemble((f"{name:{INDENT}}", "bold"), text), soft_wrap=True)


def gate_rows(report: "GateReport") -> list[tuple[str, str]]:
    """The rows, as plain text."""
    setting, latency = report.plan.setting, report.measured.judgements["latency"]
    medians = np.array([block.medians for block in report.measured.blocks])  # (blocks, 4) ms
    baseline, candidate = (float(np.median(medians[:, side : side + 2])) for side in (0, 2))
    rounds = sum(block.ns.shape[1] for block in report.measured.blocks)
    return [
        (WORDS[report.outcome], f"{report.candidate} against {report.baseline}"),
        *((verdict.name, f"{verdict.outcome}: {verdict.sentence}") for verdict in report.verdicts),
        ("latency", f"{candidate:.4g} ms, baseline {baseline:.4g} ms: {latency.speed}"),
        (
            "measured",
            f"{latency.n} blocks of 2 sessions each, {rounds:,} rounds, in {report.measured.seconds:.1f} s; "
            f"batch {setting.batch}, {setting.threads} thread{'s' * (setting.threads != 1)}, provider "
            f"{setting.provider}, transfers {setting.transfers}",
        ),
        *(("note", note) for note in report.notes),
    ]
