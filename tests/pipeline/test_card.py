"""README.md of a run folder: when it is written, renewed, left alone and withdrawn."""

from types import SimpleNamespace

import pytest

from recycle_pipeline.pipeline.card import _form
from recycle_pipeline.pipeline.manifest import file_digest
from recycle_pipeline.pipeline.report.estimate import Estimate, proportion
from recycle_pipeline.pipeline.report.facts import Ratio
from recycle_pipeline.pipeline.run_folder import RunFolder

UNKNOWN = "| accuracy | not verified |"


@pytest.fixture
def card(run_copy):
    return run_copy / "README.md"


def test_a_finished_run_has_a_card_with_what_was_found(finished):
    text = (finished.folder.root / "README.md").read_text()
    verify = finished.facts("verify")
    assert f"{verify['ort_accuracy']:.2%} top-1 under ONNX Runtime (cpu)" in text
    assert file_digest(finished.ticket) in text and "| data | digits |" in text
    assert "recycle-pipeline run --arch conv2 --epochs 1\n" in text
    assert "`onnx/model.onnx`" in text


def test_pack_writes_it_and_verify_adds_the_accuracy(command, same_run, here):
    assert command("search", *same_run, "mine").code == 0
    assert not (here / "mine" / "README.md").exists()
    assert command("pack", "mine").code == 0
    assert UNKNOWN in (here / "mine" / "README.md").read_text()
    assert command("export", "mine").code == 0
    assert UNKNOWN in (here / "mine" / "README.md").read_text()
    assert command("verify", "mine").code == 0
    assert UNKNOWN not in (here / "mine" / "README.md").read_text()


def test_another_model_than_the_verified_one_has_no_accuracy(command, run_copy, card):
    assert command("export", "mine", "--embed-preprocessing").code == 0
    assert UNKNOWN in card.read_text()
    assert command("verify", "mine").code == 0 and UNKNOWN not in card.read_text()
    (run_copy / "onnx" / "model.onnx").write_bytes(b"another")
    assert command("pack", "mine").code == 0
    assert UNKNOWN in card.read_text()


def test_a_missed_gate_adds_no_accuracy(command, run_copy, card):
    assert command("export", "mine", "--embed-preprocessing").code == 0
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    assert UNKNOWN in card.read_text()


@pytest.mark.parametrize(
    ("low", "high", "count", "said"),
    [
        (1.1, 1.2, 250, ": size only, slower: takes 10.0% to 20.0% more time"),
        (1.1, 1.2, 1571, ": neither smaller nor faster; slower: takes 10.0% to 20.0% more time"),
        (0.99, 1.01, 1000, ": neither smaller nor faster"),
        (0.3, 0.4, 1310, ": faster: takes 60.0% to 70.0% less time"),
    ],
)
def test_it_says_of_a_form_what_the_report_says(tmp_path, low, high, count, said):
    folder = RunFolder(tmp_path)
    folder.model("onnx").parent.mkdir()
    folder.model("onnx").write_bytes(bytes(1000))
    folder.model("onnx-int8").write_bytes(bytes(count))
    ratio = Ratio(
        "onnx-int8", "onnx", Estimate((low + high) / 2, 6, "pairs of sessions", low, high), 1.0, 1.0
    )
    form = SimpleNamespace(form="onnx-int8", top1=proportion(0.5, 100), needs=("a", "b"))
    *_, bought, needs = _form(folder, form, ratio)
    assert bought.endswith(said) and needs == "a; b"


def test_the_same_run_again_does_not_touch_it(command, run_copy, same_run, card):
    before = card.read_bytes(), card.stat().st_mtime_ns
    assert command("run", *same_run, "mine").code == 0
    assert (card.read_bytes(), card.stat().st_mtime_ns) == before


def test_one_that_was_lost_is_written_again(command, run_copy, same_run, card):
    before = card.read_bytes()
    card.unlink()
    assert command("verify", "mine").code == 0
    assert card.read_bytes() == before


def test_a_licence_and_words_of_the_users_stay(command, run_copy, card):
    written = card.read_text().replace("# license: apache-2.0", "license: mit") + "\nMine: \u00e9.\n"
    card.write_text(written)
    assert command("export", "mine", "--embed-preprocessing").code == 0
    text = card.read_text()
    assert "\nlicense: mit\n" in text and text.endswith("\nMine: \u00e9.\n") and UNKNOWN in text


def test_a_card_of_the_users_own_is_left_alone_and_it_is_said(command, run_copy, card):
    card.write_bytes(b"# Mine \xff\n")
    outcome = command("export", "mine", "--embed-preprocessing")
    assert outcome.code == 0 and card.read_bytes() == b"# Mine \xff\n"
    assert "card    note: README.md has lost the marks" in outcome.err


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("words", ["", "\nMine.\n"])
def test_without_its_ticket_it_goes_or_says_so(command, run_copy, same_run, card, monkeypatch, words):
    card.write_text(card.read_text() + words)
    monkeypatch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupted)
    assert command("run", *same_run, "mine", "--seed", "3", "--force", "search").code == 130
    assert card.exists() == bool(words)
    if words:
        assert "There is no ticket here at present." in card.read_text() and card.read_text().endswith(words)


def test_a_full_disk_leaves_the_old_card(command, run_copy, card, monkeypatch):
    before = card.read_bytes()
    real = type(card).replace

    def full(self, target):
        if target.name == "README.md":
            raise OSError(28, "No space left on device", str(target))
        return real(self, target)

    monkeypatch.setattr(type(card), "replace", full)
    outcome = command("export", "mine", "--embed-preprocessing")
    assert outcome.code == 1 and "No space left on device (mine/README.md)" in outcome.err
    assert card.read_bytes() == before


def test_where_a_folder_of_images_lies_is_not_told(command, write_photos, here):
    data = f"folder:{write_photos(each=6)}"
    assert (
        command("run", "--arch", "conv2", "--epochs", "1", "--data", data, "--output-dir", "mine").code == 0
    )
    text = (here / "mine" / "README.md").read_text()
    assert str(here) not in text and "--data folder:photos" in text and "| data | folder:photos |" in text
