"""`gate` and `bench` as commands: exit codes, what goes where, and what is refused. No time is judged."""

import json
import re
from xml.etree import ElementTree

import pytest

from recycle_pipeline.evaluators import blocks as module

BOTH = ("--candidate", "MODEL", "--baseline", "MODEL")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


@pytest.fixture
def model(run_copy):
    return run_copy / "onnx/model.onnx"


def test_a_budget_of_one_block_leaves_with_7_and_still_says_and_writes_everything(command, model, here):
    files = "--junit", "out/j.xml", "--markdown", "s.md", "--result", "r.json", "--benchmark-json", "b.json"
    line = "--baseline", model, "--candidate", model, "--time-budget", "0.01", "--max-size-increase", "0"
    done = command("gate", *line, *files, "--bencher-json", "n.json")
    assert done.code == 7
    assert done.out.startswith("INCONCLUSIVE ")
    assert "max_size_increase    passed: " in done.out
    assert "Error: max_slowdown inconclusive: " in done.err
    assert ElementTree.parse(here / "out/j.xml").getroot().get("errors") == "1"
    assert json.loads((here / "r.json").read_text())["outcome"] == "inconclusive"
    assert all((here / name).stat().st_size for name in ("s.md", "b.json", "n.json"))


@pytest.mark.parametrize(("policy", "code"), [("pass", 0), ("fail", 5)])
def test_the_policy_says_what_noise_is(command, model, policy, code):
    line = "--baseline", model, "--candidate", model, "--time-budget", "0.01", "--on-inconclusive", policy
    assert command("gate", *line, "--quiet").code == code


def test_json_goes_to_stdout_alone(command, model):
    line = "--baseline", model, "--candidate", model, "--time-budget", "0.01", "--json", "--quiet"
    assert json.loads(command("gate", *line).out)["kind"] == "gate"


def test_accuracy_is_gated_where_data_are_given(command, model):
    line = "--baseline", model, "--candidate", model, "--time-budget", "0.01", "--data", "digits"
    done = command(
        "gate", *line, "--min-top1", "0.9999", "--max-difference", "0", "--on-inconclusive", "pass"
    )
    assert done.code == 4
    assert "min_top1             failed: " in done.out
    assert "max_difference       passed: " in done.out


def test_a_stored_baseline_is_written_and_read(command, model):
    saved = command("gate", "--candidate", model, "--save", "b.json", "--time-budget", "1", "--quiet")
    assert saved.code == 0
    against = "--baseline", "b.json", "--candidate", model, "--time-budget", "0.01", "--quiet"
    done = command("gate", *against)
    assert done.code == 7
    assert "the baseline is stored" in done.out
    refused = command("gate", *against, "--max-accuracy-drop", "1%", "--data", "digits")
    assert (refused.code, "holds none" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["--candidate", "MODEL"], 2, "either --baseline"),
        ([*BOTH, "--save", "x.json"], 2, "either --baseline"),
        (["--candidate", "MODEL", "--baseline", "none.onnx"], 2, "is no file"),
        (
            [*BOTH, "--max-slowdown", "5"],
            2,
            "did you mean 5% or 0.05",
        ),
        ([*BOTH, "--max-slowdown", "few"], 2, "is no share"),
        ([*BOTH, "--min-top1", "90%"], 2, "give --data"),
        ([*BOTH, "--batch", "0"], 2, "a batch of 0 was asked for"),
        (
            [*BOTH, "--error-rate", "0"],
            2,
            "expected one between 0 and 1",
        ),
        (["--candidate", "MODEL", "--baseline", "TEXT"], 6, "cannot read"),
        (["--candidate", "MODEL", "--baseline", "TEXT.json"], 6, "no stored baseline"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_a_sentence(command, model, here, line, code, message):
    (here / "text.onnx").write_text("no model")
    (here / "text.json").write_text("no baseline")
    names = {"MODEL": model, "TEXT": "text.onnx", "TEXT.json": "text.json"}
    done = command("gate", *(names.get(word, word) for word in line), "--quiet")
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_bench_shows_a_row_for_each_model_and_setting(command, model):
    done = command("bench", model, model, "--batch", "1", "--batch", "2", "--seconds", "0", "--quiet")
    assert done.code == 0
    lines = [line.removeprefix(str(model)) for line in done.out.splitlines() if line.startswith(str(model))]
    number = r"\d[\d,.e+-]*"
    bounded = rf"{number} \({number} to {number}\)"
    speeds = rf" +{bounded} +{bounded} +(-|{bounded} +(faster|slower|not told apart)) *"
    others = rf"( +\u2013){{3}} +{bounded} +{number} MB *"  # 48 samples carry no percentile
    assert [bool(re.fullmatch(speeds, line)) for line in lines] == [True, True, False, False] * 2, done.out
    assert [bool(re.fullmatch(others, line)) for line in lines] == [False, False, True, True] * 2, done.out
    assert "memory is of a single process" in done.out
    assert "batch 2, 1 thread, provider cpu" in done.out
    found = json.loads(command("bench", model, "--seconds", "0", "--json", "--quiet").out)
    assert found["rows"][0]["samples_ms"]


def test_bench_refuses_what_it_cannot_time(command, model):
    assert command("bench").code == 2
    assert command("bench", "none.onnx").code == 2
    assert "expected 1 or more" in command("bench", model, "--threads", "0").err
