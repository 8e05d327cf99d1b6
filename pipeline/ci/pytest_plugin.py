"""A pytest plugin: models gated in tests, against the baseline that `--recycle-baseline` names.

pytest loads it in every run of an environment that has it, so it imports nothing of weight before it is used.

    def test_the_model_did_not_become_slower(recycle_gate):
        recycle_gate("model.onnx", max_slowdown="5%")

    @pytest.mark.recycle_gate(candidate="model.onnx", max_slowdown="5%", max_size_increase=0)
    def test_gates_of_the_marker_hold(recycle_gate):
        report = recycle_gate()
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gate_report import GateReport

MARKER = "recycle_gate"
PROPERTY = "recycle_gate"
INCREASES = {
    "max_slowdown": "slowdown",
    "max_load_increase": "load",
    "max_size_increase": "size",
    "max_memory_increase": "memory",
}
ACCURACIES = ("max_accuracy_drop", "min_top1")
OTHERS = ("candidate", "baseline", "data", "data_root", "threads", "batch", "provider", "time_budget", "seed")
Gate = Callable[..., "GateReport"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("recycle-pipeline", "gates on ONNX models (recycle-pipeline)")
    group.addoption(
        "--recycle-baseline",
        type=Path,
        metavar="PATH",
        help="model, stored baseline (.json), or folder of models named as the candidates are",
    )
    group.addoption(
        "--recycle-time-budget", type=float, default=60.0, metavar="S", help="seconds per gate [60]"
    )
    group.addoption(
        "--recycle-on-inconclusive",
        choices=["fail", "skip", "pass"],
        default="fail",
        help="what a gate that noise leaves undecided does to its test [fail]",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(candidate=None, baseline=None, max_slowdown='5%', max_size_increase=None, "
        "max_load_increase=None, max_memory_increase=None, max_accuracy_drop=None, min_top1=None, data=None, "
        "...): what the fixture recycle_gate takes unless the call says otherwise",
    )


@pytest.fixture
def recycle_gate(request: pytest.FixtureRequest) -> Gate:
    """A call that gates a model, and fails the test where a limit is missed.

    Of `recycle_gate(candidate, baseline=None, **limits)`: limits are those of the command, as fractions or
    `"5%"`; `data`, `threads`, `batch`, `provider`, `time_budget` and `seed` are taken as well. The baseline
    is what the call, the marker or `--recycle-baseline` says, in this order; without one the test is skipped.
    """
    marker = request.node.get_closest_marker(MARKER)
    marked: dict[str, Any] = dict(marker.kwargs) if marker else {}

    def gate(candidate: str | Path | None = None, **given: Any) -> "GateReport":
        asked = marked | ({} if candidate is None else {"candidate": candidate}) | given
        report, outcome = _run(request.config, asked)
        low, high = report.latency.low, report.latency.high
        interval = {"latency_ratio_low": low, "latency_ratio_high": high, "blocks": report.latency.n}
        for name, value in {"latency_ratio": report.latency.ratio, **interval, "outcome": outcome}.items():
            request.node.user_properties.append((f"recycle_{name}", value))  # into --junitxml
        sentences = [f"{v.name} {v.outcome}: {v.sentence}" for v in report.verdicts]
        sentences += [f"note: {note}" for note in report.notes]
        request.node.user_properties.append((PROPERTY, f"{outcome}: {'; '.join(sentences)}"))
        _settle(outcome, "\n".join(sentences), request.config.getoption("--recycle-on-inconclusive"))
        return report

    return gate


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A line for each gate, whether its test failed or not; of other processes' tests too (pytest-xdist)."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    lines = [
        f"{report.nodeid}: {text}"
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, text in report.user_properties
        if name == PROPERTY
    ]
    if lines:
        terminalreporter.section("recycle-pipeline gates")
        for line in lines:
            terminalreporter.line(line)


def _run(config: pytest.Config, asked: dict[str, Any]) -> "tuple[GateReport, str]":
    from recycle_pipeline.models.errors import RecycleError
    from recycle_pipeline.pipeline.gating import run_gate

    if unknown := asked.keys() - {*INCREASES, *ACCURACIES, *OTHERS}:
        raise pytest.UsageError(f"recycle_gate does not know {', '.join(sorted(unknown))}")
    if asked.get("candidate") is None:
        raise pytest.UsageError("recycle_gate was given no candidate, by the call or the marker")
    baseline = asked.get("baseline") or config.getoption("--recycle-baseline")
    if baseline is None:
        pytest.skip("no baseline: give --recycle-baseline PATH")
    try:
        report = run_gate(_request(config, asked, Path(baseline)))
    except RecycleError as error:
        fault = str(error)
    else:
        return report, report.outcome
    pytest.fail(fault, pytrace=False)


def _request(config: pytest.Config, asked: dict[str, Any], baseline: Path) -> Any:
    from recycle_pipeline.evaluators.gate_plan import Increases, Plan
    from recycle_pipeline.evaluators.gates import Limits
    from recycle_pipeline.evaluators.provider_names import canonical
    from recycle_pipeline.evaluators.setting import Setting
    from recycle_pipeline.pipeline.gating import Request
    from recycle_pipeline.pipeline.scoring import Data
    from recycle_pipeline.pipeline.share import share

    candidate = Path(asked["candidate"])
    increases = {INCREASES[name]: share(asked[name]) for name in INCREASES if asked.get(name) is not None}
    accuracies = {name: share(asked[name]) for name in ACCURACIES if asked.get(name) is not None}
    setting: dict[str, Any] = {name: asked[name] for name in ("threads", "batch") if name in asked}
    setting["provider"] = canonical(asked.get("provider", "cpu"))
    root = asked.get("data_root")
    return Request(
        candidate=candidate,
        baseline=baseline / candidate.name if baseline.is_dir() else baseline,
        increases=Increases(**increases),
        plan=Plan(
            setting=Setting(**setting),
            seconds=asked.get("time_budget", config.getoption("--recycle-time-budget")),
            seed=asked.get("seed", 0),
        ),
        limits=Limits(**{"max_difference": None, **accuracies}),
        data=Data(asked["data"], Path(root) if root else None) if asked.get("data") else None,
    )


def _settle(outcome: str, text: str, policy: str) -> None:
    if outcome == "failed":
        pytest.fail(text, pytrace=False)
    if outcome == "inconclusive" and policy == "fail":
        pytest.fail(f"inconclusive: {text}", pytrace=False)
    if outcome == "inconclusive" and policy == "skip":
        pytest.skip(f"inconclusive: {text}")
