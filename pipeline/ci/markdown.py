"""A summary for a job's page: the verdict, the numbers, and what they were measured on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recycle_pipeline.exporters.quoting import markdown_text
from recycle_pipeline.pipeline.wording import with_interval

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gate_report import GateReport
    from recycle_pipeline.evaluators.gates import Verdict

HEADINGS = {
    "passed": "passed",
    "failed": "FAILED",
    "inconclusive": "inconclusive: too noisy to tell",
}


def markdown(report: "GateReport", verdicts: "Sequence[Verdict]") -> str:
    """GitHub's Markdown; GitLab shows the same.

    Args:
        report: of the gate.
        verdicts: under the policy for those that could not be reached.
    """
    found = {verdict.outcome for verdict in verdicts}
    outcome = "failed" if "failed" in found else "inconclusive" if "inconclusive" in found else "passed"
    candidate, beside = map(with_interval, report.times)
    lines = [
        f"### recycle-pipeline gate: {HEADINGS[outcome]}",
        "",
        f"{markdown_text(str(report.candidate))} against {markdown_text(str(report.baseline['path']))}",
        "",
        "| gate | outcome | value | limit | what was found |",
        "|---|---|---|---|---|",
        *(
            f"| {v.name} | {v.outcome} | {_number(v.value)} | {_number(v.limit)} | {_said(v)} |"
            for v in verdicts
            if v.outcome != "not-asked"
        ),
        "",
        f"Latency {candidate} ms, {report.beside} {beside} ms, with 95 % intervals over blocks: "
        f"{report.latency.speed}. {_interval(report)}",
        "",
        f"{report.latency.n} blocks of fresh sessions, {report.rounds:,} rounds in "
        f"{report.measured.seconds:.1f} s; {report.plan.setting}.",
        *(f"\n> {note}" for note in report.notes),
        "",
    ]
    return "\n".join(lines) + "\n"


def _said(verdict: "Verdict") -> str:
    return markdown_text(verdict.sentence)


def _interval(report: "GateReport") -> str:
    found = report.latency
    low, high = ("?" if end is None else f"{end:.3f}" for end in (found.low, found.high))
    floor = "not known yet" if found.noise_floor is None else f"{found.noise_floor:.2%}"
    return (
        f"Ratio {found.ratio:.3f}, {100 * (1 - found.alpha):.4g} % interval {low} to {high} (valid at every "
        f"stop), 95 % bootstrap interval {found.bootstrap_low:.3f} to {found.bootstrap_high:.3f}, n = "
        f"{found.n} blocks; noise floor {floor}."
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
