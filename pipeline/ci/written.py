"""Which of a gate's files were asked for, and writing them."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.pipeline.ci.benchmarks import bencher, github_action_benchmark
from recycle_pipeline.pipeline.ci.junit import junit
from recycle_pipeline.pipeline.ci.markdown import markdown

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gate_report import GateReport
    from recycle_pipeline.evaluators.gates import Verdict


def write_files(report: "GateReport", verdicts: "Sequence[Verdict]", given: Mapping[str, Any]) -> None:
    """Writes what was asked for.

    Args:
        report: of the gate.
        verdicts: under the policy for those that could not be reached.
        given: `junit`, `markdown`, `result`, `benchmark_json`, `bencher_json`: a path, or None. The summary
            is appended, because a job's steps share its file; the others are replaced.

    Raises:
        OSError: a file cannot be written.
    """
    if path := given.get("junit"):
        suite = f"recycle-pipeline gate {report.candidate}"
        write_text(path, junit(suite, verdicts, report.measured.seconds, report.notes))
    if path := given.get("markdown"):
        with path.open("a", encoding="utf-8") as file:
            file.write(markdown(report, verdicts))
    if path := given.get("result"):
        write_text(path, json.dumps(report.to_json()) + "\n")
    if path := given.get("benchmark_json"):
        write_text(path, json.dumps(github_action_benchmark(report), indent=1) + "\n")
    if path := given.get("bencher_json"):
        write_text(path, json.dumps(bencher(report), indent=1) + "\n")
