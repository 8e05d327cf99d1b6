"""What a gate prints and writes: no number without what it rests on, no "faster" that its interval denies."""

import re

import pytest

from recycle_pipeline.pipeline.ci.benchmarks import bencher, github_action_benchmark
from recycle_pipeline.pipeline.ci.markdown import markdown
from recycle_pipeline.pipeline.cli.gate_lines import gate_rows

BOUNDED = r"[\d.]+ \([\d.]+ to [\d.]+\) ms"
CASES = [(0.5, 12), (0.97, 12), (1.0, 12), (1.0, 3), (1.0, 1), (1.02, 12), (1.2, 12), (1.2, 1)]


@pytest.mark.parametrize(("ratio", "n"), CASES)
def test_faster_and_slower_are_said_only_where_both_intervals_leave_1_out(report_of, ratio, n):
    report = report_of(ratio, n)
    found, summary = report.latency, markdown(report, report.verdicts).splitlines()
    ends = [found.low or 0.0, found.bootstrap_low, found.bootstrap_high, found.high or float("inf")]
    for text in (dict(gate_rows(report))["latency"], *(x for x in summary if x.startswith("Latency "))):
        assert ("faster" in text) == (max(ends[2:]) < 1)
        assert ("slower" in text) == (min(ends[:2]) > 1)


@pytest.mark.parametrize(("ratio", "n"), CASES)
def test_latencies_carry_their_interval_and_its_n_or_say_that_there_is_none(report_of, ratio, n):
    report = report_of(ratio, n)
    rows = dict(gate_rows(report))
    wanted = rf"{BOUNDED}, the baseline {BOUNDED}: .*" if n > 1 else r".*\(no interval\) ms.*"
    assert re.fullmatch(wanted, rows["latency"]), rows["latency"]
    assert rows["measured"].startswith(f"{n} blocks of 2 sessions each, over which intervals are")
    assert re.search(wanted[:-2], markdown(report, report.verdicts).replace(", with 95 %", ": with 95 %"))
    assert all(f"n = {n} blocks" in entry["extra"] for entry in github_action_benchmark(report)[:2])
    assert ("lower_value" in bencher(report)["model.onnx"]["latency"]) == (n > 1)


def test_every_verdict_of_what_was_measured_has_its_n_and_interval_in_the_summary(report_of):
    text = markdown(report_of(1.0), report_of(1.0).verdicts)
    (row,) = [line for line in text.splitlines() if line.startswith("| max_slowdown ")]
    assert "99 % interval" in row and "n = 12 blocks" in row
