"""`report`, and the report that `run` writes at its end."""

import json

import pytest

from recycle_pipeline.models.errors import RecycleError


@pytest.fixture
def page(run_copy):
    return run_copy / "report.html"


def test_a_whole_run_leaves_a_report(finished):
    path = finished.folder.report
    assert path.read_text().startswith("<!doctype html>")
    assert finished.to_json()["files"]["report"] == str(path)


def test_report_writes_it_beside_the_run_and_says_where(command, run_copy, page):
    page.unlink()
    outcome = command("report", "mine")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("mine/report.html: ") and page.is_file()


def test_one_that_is_up_to_date_is_not_touched(command, run_copy, same_run, page):
    before = page.read_bytes(), page.stat().st_mtime_ns
    assert command("report", "mine").code == 0
    assert command("run", *same_run, "mine").code == 0
    assert (page.read_bytes(), page.stat().st_mtime_ns) == before


def test_a_stage_alone_renews_the_one_that_is_there_and_writes_none(command, run_copy, page):
    assert "embed_preprocessing</th><td" in page.read_text()
    assert command("export", "mine", "--embed-preprocessing").code == 0
    assert "Verdict: </span>Not verified" in page.read_text()
    page.unlink()
    assert command("verify", "mine").code == 0
    assert not page.exists()


def test_a_missed_gate_is_in_it(command, run_copy, page):
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    assert "Verdict: </span>Failed" in page.read_text()


def test_a_run_that_stops_on_its_way_leaves_none_that_says_what_was(
    command, run_copy, same_run, page, monkeypatch
):
    def fail(*_arguments, **_more):
        raise RecycleError("no")

    monkeypatch.setattr("recycle_pipeline.evaluators.verify.verify", fail)
    assert command("run", *same_run, "mine", "--embed-preprocessing").code == 1
    assert not page.exists()


def interrupted(*_arguments):
    raise KeyboardInterrupt


def test_another_run_in_its_place_takes_it_away_at_the_start(command, run_copy, same_run, page, monkeypatch):
    monkeypatch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupted)
    assert command("run", *same_run, "mine", "--seed", "3", "--force", "search").code == 130
    assert not page.exists()


def test_several_runs_go_into_one_page_in_the_current_folder(command, here, run_copy):
    outcome = command("report", "mine", "mine")
    assert outcome.code == 0 and outcome.out.startswith("comparison.html: ")
    assert "2 runs compared" in (here / "comparison.html").read_text()


def test_markdown_and_json_go_to_stdout(command, run_copy):
    assert command("report", "mine", "--format", "md").out.startswith("### ")
    assert json.loads(command("report", "mine", "--format", "json").out)["schema"] == 1


def test_output_names_the_file(command, here, run_copy):
    for name, form in (("a.html", "html"), ("a.md", "md"), ("a.json", "json")):
        outcome = command("report", "mine", "--format", form, "--output", name)
        assert outcome.code == 0 and outcome.out.startswith(f"{name}: ") and (here / name).stat().st_size


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere is not a run folder"),
        (("mine", "--output", "a.txt"), "expected a name that ends in .html"),
        (("mine", "--format", "md", "--output", "a.html"), "expected a name that ends in .md"),
        (("mine", "--output", "no/folder.html"), "there is no folder no"),
        (("mine", "--format", "pdf"), "'pdf' is not one of"),
        ((), "Missing argument"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_and_writes_nothing(command, run_copy, tree, arguments, said):
    before = tree()
    outcome = command("report", *arguments)
    assert outcome.code == 2 and said in outcome.err and "Traceback" not in outcome.err
    assert tree() == before


def test_a_damaged_run_is_named(command, run_copy):
    (run_copy / "verify.json").write_text("{")
    outcome = command("report", "mine")
    assert outcome.code == 6 and "verify.json is damaged" in outcome.err and "--force" in outcome.err


def test_a_full_disk_leaves_the_old_one(command, run_copy, page, monkeypatch):
    before = page.read_bytes()
    page.write_bytes(before + b"old")
    real = type(page).replace

    def full(self, target):
        if target.name == "report.html":
            raise OSError(28, "No space left on device", str(target))
        return real(self, target)

    monkeypatch.setattr(type(page), "replace", full)
    outcome = command("report", "mine")
    assert outcome.code == 1 and "No space left on device" in outcome.err
    assert page.read_bytes() == before + b"old"
