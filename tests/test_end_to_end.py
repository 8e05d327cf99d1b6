"""The main job, as a new user starts it: one command and real data, in fewer epochs than by default."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

COMMAND = [sys.executable, "-c", "from recycle_pipeline.pipeline.cli import main; main()"]


# README's, whose 12 epochs take twice as long: benchmarks/default_run.py holds those to 98 %.
LINE = ("run", "--arch", "resnet18", "--prune", "0.9", "--export", "onnx", "--epochs", "5")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def command(import_path: dict[str, str]) -> Command:
    """Runs recycle-pipeline with arguments in a folder."""

    def start(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        line = [*COMMAND, *arguments]
        return subprocess.run(line, cwd=folder, env=import_path, capture_output=True, text=True)

    return start


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """An empty folder in which the command has run."""
    folder = tmp_path_factory.mktemp("new-user")
    done = command(*LINE, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    (folder / "stderr.txt").write_text(done.stderr)
    return folder


@pytest.fixture
def run_folder(home: Path) -> Path:
    (folder,) = (home / "runs").iterdir()
    return folder


def test_the_exported_model_reaches_its_accuracy_in_onnx_runtime(run_folder):
    """96.98 % on one CPU; another finds another subnetwork."""
    report = json.loads((run_folder / "verify.json").read_text())
    assert report["accuracy"]["model"]["top1"] >= 0.9
    assert report["accuracy"]["model"]["n"] == 364


def test_torch_and_onnx_runtime_agree(run_folder):
    parity = json.loads((run_folder / "verify.json").read_text())["parity"]
    assert parity["max_difference"] < 1e-4 and parity["top1_agreement"] == 1.0


def test_exactly_a_tenth_of_each_layer_is_kept(run_folder):
    """The published rounding, over the 21 layers of ResNet-18 with one input channel and 10 classes."""
    search = json.loads((run_folder / "manifest.json").read_text())["stages"]["search"]["facts"]
    assert (search["kept"], search["weights"]) == (1_116_330, 11_163_200)


def test_the_run_folder_holds_what_the_readme_says_and_nothing_else(run_folder):
    names = sorted(p.relative_to(run_folder).as_posix() for p in run_folder.rglob("*") if p.is_file())
    assert names == [
        "README.md",
        "config.toml",
        "manifest.json",
        "metrics.jsonl",
        "onnx/model.onnx",
        "report.html",
        "search.safetensors",
        "ticket.safetensors",
        "verify.json",
    ]


def test_the_ticket_is_some_hundred_kilobytes(run_folder):
    assert (run_folder / "ticket.safetensors").stat().st_size < 800_000


def test_the_model_says_where_it_came_from(run_folder):
    model = onnx.load(run_folder / "onnx" / "model.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["kept"] == "1116330/11163200" and facts["arch"] == "resnet18" and facts["seed"] == "0"
    assert json.loads(facts["classes"]) == [str(digit) for digit in range(10)]


def test_the_table_says_what_a_user_asks_first(home):
    table = (home / "stdout.txt").read_text()
    for words in ("1,116,330 of 11,163,200 weights", "ONNX Runtime", "in torch", "dense twin", "run folder"):
        assert words in table


def test_progress_goes_to_stderr_in_plain_lines(home):
    lines = (home / "stderr.txt").read_text().splitlines()
    assert any(line.startswith("search  epoch 1/") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_the_same_command_again_skips_everything(home, run_folder, command):
    before = {p: p.stat().st_mtime_ns for p in run_folder.rglob("*") if p.suffix != ".toml"}
    done = command(*LINE, folder=home)
    assert done.returncode == 0
    for stage in ("search", "pack", "export", "verify"):
        assert f"{stage:7} unchanged, skipped" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert done.stdout == (home / "stdout.txt").read_text()


def test_a_fresh_process_rebuilds_every_tensor_from_the_ticket(run_folder, tmp_path, command):
    done = command("reconstruct", str(run_folder), "--output", "weights.safetensors", folder=tmp_path)
    assert done.returncode == 0 and "all equal to their digests" in done.stdout
    assert (tmp_path / "weights.safetensors").stat().st_size > 44_000_000
