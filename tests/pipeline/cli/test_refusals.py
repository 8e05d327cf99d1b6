"""Bad input at the command line: exit code, a clear message, no traceback, and nothing written."""

import os
import re

import pytest
import torch

from recycle_pipeline.evaluators.providers import why_not

CONV = ("run", "--arch", "conv2", "--epochs", "1")
NO_CUDA = not torch.cuda.is_available()

REFUSED = [
    ("run --prune 90", "Error: --prune 90 is not a fraction; did you mean 0.9?\n"),
    (
        "run --prune 1",
        "Error: --prune 1 removes every weight; give the fraction to remove, for example 0.9\n",
    ),
    (
        "run --prune 0",
        "Error: --prune 0 removes nothing and leaves no search to do; give the fraction to remove",
    ),
    ("run --prune nan", "Error: --prune nan: expected a number between 0 and 1"),
    (
        "run --keep 10",
        "Error: --keep 10.0: expected a fraction between 0 and 1, the part that is kept; did you mean",
    ),
    (
        "run --keep 0.1 --prune 0.9",
        "Error: --prune 0.9 and --keep 0.1 were both given: expected one of them\n",
    ),
    (
        "run --arch resnet81",
        "Error: unknown arch 'resnet81' (did you mean resnet18?); known: conv2, conv4, conv6, conv8, "
        "resnet18, resnet34, resnet50, resnet20, resnet32, resnet44, resnet56, resnet110, vgg_small, "
        "vgg_small_bn, or your own as package.module:function\n",
    ),
    ("run --width 0", "Error: --width 0: expected more than 0 and at most 64\n"),
    (
        "run --arch conv2 --width 0.01",
        "Error: --width 0.01 leaves nothing of a layer of 64 channels; expected at least 0.015625\n",
    ),
    (
        "run --arch conv4 --batch-norm learned --dry-run",
        "Error: --batch-norm learned: conv4 has no batch norm, unless --activations binary is given too; "
        "leave it out, or choose another arch\n",
    ),
    ("run --min-agreement 99", "Error: --min-agreement 99: expected at least 0 and at most 1\n"),
    ("run --seed -1", "Error: --seed -1: expected an integer from 0 to 9223372036854775807\n"),
    (
        "run --seed 9223372036854775808",
        "Error: --seed 9223372036854775808: expected an integer",
    ),
    ("run --export tflite", "Error: --export 'tflite': expected one of onnx, onnx-compact, "),
    ("run --export onnx,tflite", "Error: --export 'tflite': expected one of onnx, onnx-compact, "),
    ("run --device gpu", "Error: --device 'gpu': expected auto, cpu, cuda or cuda:N\n"),
    ("run --force train", "Error: unknown stage 'train'; expected one of search, pack, export, verify\n"),
    ("run --reuse-rate 0.6", "Error: --reuse-rate 0.6: expected more than 0 and at most 0.5\n"),
    ("run --batch-size 1", "Error: --batch-size 1: expected at least 2\n"),
    ("run --config none.toml", "Error: cannot read --config none.toml: No such file or directory\n"),
    (
        "run --data digit",
        "Error: unknown data set 'digit'; expected one of digits, cifar10, cifar100, mnist, fashi",
    ),
    ("run --data folder:nowhere", "Error: folder:"),
    (
        "run --image-size 16",
        "Error: --image-size 16 was given for data set 'digits', whose images are 8 pixels wide",
    ),
    (
        "run --arch conv8",
        "Error: conv8 halves the image 4 times and needs at least 16 px, got 8 px; use a shallower",
    ),
    (
        "run --arch nowhere:net",
        "Error: cannot import arch 'nowhere:net': ModuleNotFoundError: No module named 'nowhe",
    ),
    (
        "run --preset iwr-conv6-bipop",
        "Error: unknown preset 'iwr-conv6-bipop'; did you mean iwr-conv6-biprop?\n",
    ),
    (
        "run --reuse none --recycle-from next-lowest",
        "Error: --recycle-from next-lowest has no effect on --reuse none: expected recycle or hybrid",
    ),
    (
        "run --device cpu --precision tf32",
        "Error: --precision tf32 is for CUDA, and this search is on cpu: expected float32, or auto, ",
    ),
    (
        "run --reuse none --reuse-rate 0.3",
        "Error: --reuse-rate 0.3 has no effect on --reuse none: expected another --reuse, or leave it out\n",
    ),
    (
        "run --reuse-period 2 --reuse-period-steps 30",
        "Error: --reuse-period 2 and --reuse-period-steps 30 were both given: expected one of them\n",
    ),
    (
        "run --preset iwr-conv6-biprop --optimizer adam",
        "Error: --weight-decay 0.0001 has no effect on --optimizer adam, which has none as published: ",
    ),
    (
        "run --layer-minimum 0.1",
        "Error: --layer-minimum 0.1 has no effect on --scope layer, where each layer",
    ),
    ("inspect nowhere", "Error: no ticket at nowhere: expected a file that `recycle-pipeline pack` wrote\n"),
    ("inspect t --picture p.jpg", "Error: --picture p.jpg: expected a name that ends in .png\n"),
    (
        "inspect t --picture no/p.png",
        "Error: --picture no/p.png: there is no folder no; make it, or choose another\n",
    ),
    (
        "reconstruct nowhere",
        "Error: no ticket at nowhere: expected a file that `recycle-pipeline pack` wrote\n",
    ),
    (
        "reconstruct t --output w.pth",
        "Error: --output w.pth: expected a name that ends in .safetensors, .pt or .onnx\n",
    ),
    (
        "reconstruct t --output no/w.pt",
        "Error: --output no/w.pt: there is no folder no; make it, or choose another\n",
    ),
    (
        "reconstruct t --arch m:net",
        "Error: --arch m:net has no effect but on an --output .onnx; leave it out\n",
    ),
    (
        "reconstruct t --arch m:net --output w.pt",
        "Error: --arch m:net has no effect but on an --output .onnx; leave it out\n",
    ),
    (
        "reconstruct t --output w.onnx",
        "Error: no ticket at t: expected a file that `recycle-pipeline pack` wrote\n",
    ),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_bad_input_is_exit_2_with_one_clear_message_and_nothing_written(command, tree, line, message):
    outcome = command(*line.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(message) and outcome.err.count("\n") == 1
    assert tree() == {}


TYPED = [
    ("run --prune x", ["--prune", "'x' is not a valid float"]),
    ("run --reuse often", ["--reuse", "'often' is not one of 'recycle', 'rerandomize', 'hybrid', 'none'"]),
    ("run --scores abs", ["--scores", "'abs' is not one of 'magnitude', 'signed'"]),
    ("run --epoch 3", ["No such option", "--epoch", "--epochs"]),
    ("run digits", ["Got unexpected extra argument (digits)"]),
    ("verify", ["Missing argument 'FOLDER | MODEL...'"]),
    ("train", ["No such command 'train'"]),
]


@pytest.mark.parametrize(("line", "words"), TYPED, ids=[line for line, _ in TYPED])
def test_a_line_that_does_not_parse_is_exit_2_and_shows_the_usage(command, tree, line, words):
    """In click's own words, which vary with its version."""
    outcome = command(*line.split())
    assert (outcome.code, outcome.out) == (2, "") and tree() == {}
    assert outcome.err.startswith("Usage: recycle-pipeline ") and "--help' for help." in outcome.err
    assert all(word in outcome.err for word in words), outcome.err


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "mnist", "fashion-mnist"])
def test_missing_data_says_where_it_looked_and_what_downloads(command, here, tree, data):
    outcome = command(*CONV, "--data", data, "--data-root", "elsewhere")
    assert outcome.code == 2 and tree() == {}
    assert outcome.err.startswith(f"Error: data set '{data}' not found: looked in {here / 'elsewhere'}")
    assert "pass --data-root DIR" in outcome.err and "or --download" in outcome.err


def test_a_folder_with_one_class_is_refused(command, write_photos, tree):
    photos = write_photos(classes=("a",))
    before = tree()
    outcome = command(*CONV, "--data", f"folder:{photos}")
    assert outcome.code == 2 and tree() == before
    assert outcome.err.startswith(f"Error: {photos} holds one class folder (a); expected two or more")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "unmaskable",
            "Error: Sequential has no layer to mask: expected at least one convolution or nn.Linear\n",
        ),
        (
            "wrong_shape",
            "Error: Sequential maps 2 images to shape (2, 11); expected (2, 10), a logit per class\n",
        ),
        ("failing", "(classes=10, channels=1, image_size=8) failed: ZeroDivisionError: no width\n"),
        ("missing", "has no attribute 'missing'; expected package.module:function, importable from "),
        ("nn", "is a module, expected a function that builds a network\n"),
    ],
)
def test_a_custom_arch_that_cannot_work_is_refused_before_anything_is_written(
    command, custom_module, tree, function, message
):
    arch = f"{custom_module()}:{function}"
    before = tree()
    outcome = command("run", "--arch", arch, "--epochs", "1")
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1
    assert tree() == before


@pytest.mark.skipif(not NO_CUDA, reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_cuda_device_that_is_not_there_is_refused(command, tree, device):
    outcome = command(*CONV, "--device", device)
    assert outcome.code == 2 and tree() == {}
    assert outcome.err == (
        f"Error: --device {device}: no such CUDA device, this machine has none; use --device cpu, "
        "or `recycle-pipeline doctor` to see what is missing\n"
    )


@pytest.mark.skipif(why_not("cuda") is None, reason="the CUDA provider computes here")
def test_a_provider_that_cannot_run_is_refused_before_the_search(command, tree):
    outcome = command(*CONV, "--provider", "cuda")
    assert outcome.code == 8 and tree() == {}
    assert outcome.err.startswith("Error: --provider cuda cannot run here: ")


def test_a_folder_that_holds_another_run_is_refused_and_left_as_it_was(command, run_copy, tree):
    before = tree()
    outcome = command("run", "--arch", "conv2", "--epochs", "1", "--prune", "0.8", "--output-dir", "mine")
    assert outcome.code == 2 and tree() == before
    assert outcome.err == (
        "Error: --output-dir mine holds another run (prune 0.9 there, 0.8 asked); choose another folder, "
        "or --force search to replace it\n"
    )


def test_a_foreign_folder_and_a_file_are_refused_and_left_as_they_were(command, here, tree):
    (here / "thesis").mkdir()
    (here / "thesis" / "main.tex").write_text("x")
    before = tree()
    foreign = command(*CONV, "--output-dir", "thesis")
    assert (foreign.code, foreign.err.split(";")[0]) == (
        2,
        "Error: --output-dir thesis is not empty and holds no run",
    )
    file = command(*CONV, "--output-dir", "thesis/main.tex")
    assert (file.code, file.err.split(";")[0]) == (2, "Error: --output-dir thesis/main.tex is a file")
    assert tree() == before


def test_a_config_file_is_checked_like_options(command, here, tree):
    (here / "run.toml").write_text("prun = 0.9\n")
    before = tree()
    outcome = command("run", "--config", "run.toml")
    said = "Error: --config run.toml: unknown setting 'prun'; did you mean prune?\n"
    assert (outcome.code, outcome.err) == (2, said)
    assert tree() == before
    (here / "run.toml").write_text('epochs = "many"\n')
    outcome = command("run", "--config", "run.toml")
    said = "Error: --config run.toml: setting epochs = 'many' is a str; expected int\n"
    assert (outcome.code, outcome.err) == (2, said)


def test_a_warm_up_to_the_end_is_refused(command, tree):
    outcome = command("run", "--warmup", "12")
    said = "Error: --warmup 12 is not shorter than the search of 12 epochs: expected less, or give more"
    assert outcome.code == 2 and outcome.err.startswith(said)
    assert tree() == {} and command("run", "--warmup", "11", "--dry-run").code == 0


HOSTILE = {
    "a number for a name": "export = 5",
    "400 digits": f"learning_rate = 1{'0' * 400}",
    "5000 digits": f"seed = 1{'0' * 5000}",
    "deep nesting": f"export = {'[' * 5000}{']' * 5000}",
    "a fraction for a count": "seed = 1.5",
    "a word for a number": "keep = 'x'",
    "a date": "epochs = 2026-01-02",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_no_value_in_a_config_file_is_a_traceback(command, here, line):
    (here / "run.toml").write_text(line + "\n")
    outcome = command("run", "--config", "run.toml", "--dry-run")
    assert outcome.code == 2 and outcome.err.startswith("Error: ")


def test_a_folder_below_a_file_is_exit_1_with_the_path(command, here, tree):
    (here / "file").write_text("x")
    before = tree()
    outcome = command(*CONV, "--output-dir", "file/run")
    assert outcome.code == 1 and tree() == before
    assert re.fullmatch(
        r"Error: Not a directory \(file/run\)\. Check the path, permissions and free space\.\n", outcome.err
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_exit_1_with_the_path(command, here):
    (here / "locked").mkdir(mode=0o500)
    outcome = command(*CONV, "--output-dir", "locked/run")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: Permission denied (locked/run)")


def test_a_full_disk_is_exit_1_and_leaves_no_part(command, run_copy, monkeypatch, tree):
    def full(descriptor):
        raise OSError(28, "No space left on device", "mine/onnx/model.onnx")

    monkeypatch.setattr(os, "fsync", full)
    before = tree()
    outcome = command("export", "mine", "--force")
    assert outcome.code == 1 and "Error: No space left on device (mine/onnx/model.onnx). Check" in outcome.err
    assert tree() == before


@pytest.mark.parametrize("option", ["--output-dir", "--data-root"])
def test_a_path_that_is_no_text_is_refused_for_config_toml_could_not_hold_it(command, tree, option):
    outcome = command("search", "--arch", "conv2", "--epochs", "1", option, os.fsdecode(b"caf\xe9"))
    assert outcome.code == 2 and option in outcome.err and tree() == {}


def test_an_interrupt_is_exit_130_and_says_how_to_go_on(command, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("recycle_pipeline.pipeline.given.config_from", interrupted)
    outcome = command("run", "--dry-run")
    assert outcome.code == 130
    assert outcome.err.endswith("; the same command goes on from there.\n")
