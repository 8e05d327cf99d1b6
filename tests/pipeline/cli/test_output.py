"""What goes to stdout, exactly, and what goes to stderr."""

import dataclasses
import io
import json
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.pipeline.cli import contents
from recycle_pipeline.pipeline.wording import compact, size

DRY_RUN = """\
# mine: search, pack, export, verify (dry run, nothing written)
arch = "conv2"
width = 1.0
activations = "relu"
batch_norm = "fixed"
prune = 0.8
subnetwork = "binary"
init = "signed_constant"
scale_fan = "keep"
reuse = "recycle"
reuse_rate = 0.2
reuse_period = 2
recycle_from = "top"
scope = "layer"
allocation = "uniform"
scores = "magnitude"
rounding = "edge-popup"
layer_minimum = 0.0
data = "digits"
download = false
skip_unreadable = false
hold_out = 0
cutout = 0
epochs = 1
batch_size = 64
learning_rate = 0.003
optimizer = "lars"
schedule = "cosine"
momentum = 0.9
weight_decay = 0.0
warmup = 0.0
label_smoothing = 0.1
seed = 0
device = "auto"
precision = "auto"
tensorboard = false
statistics_bits = 23
export = [
    "onnx",
]
embed_preprocessing = false
shrink = true
provider = "auto"
max_difference = 0.0001
max_accuracy_drop = 0.005
timed_batch = [
    1,
]
timed_threads = [
    1,
]
output_dir = "mine"
"""


def test_a_dry_run_prints_folder_stages_and_settings_and_writes_nothing(command, same_run, tree):
    outcome = command("run", *same_run, "mine", "--keep", "0.2", "--dry-run")
    assert (outcome.code, outcome.out, outcome.err) == (0, DRY_RUN, "")
    assert tree() == {}


def test_what_a_dry_run_prints_is_a_config_file(command, same_run, here):
    printed = command("run", *same_run, "mine", "--keep", "0.2", "--dry-run").out
    (here / "run.toml").write_text(printed)
    assert command("run", "--config", "run.toml", "--dry-run").out == printed


def test_a_dry_run_of_search_names_the_one_stage(command):
    assert command("search", "--dry-run").out.startswith("# runs/resnet18-digits-0.9-")
    assert ": search (dry run, nothing written)\n" in command("search", "--dry-run").out


def test_a_dry_run_as_json_is_json(command, same_run, tree):
    outcome = command("run", *same_run, "mine", "--keep", "0.2", "--dry-run", "--json")
    printed = json.loads(outcome.out)
    assert printed["config"]["prune"] == 0.8 and printed["folder"] == "mine"
    assert tree() == {}


def test_options_win_over_the_config_file_and_the_file_over_defaults(command, here):
    (here / "run.toml").write_text('arch = "conv4"\nepochs = 5\nkeep = 0.5\nbatch-size = 32\n')
    printed = command("run", "--config", "run.toml", "--epochs", "7", "--prune", "0.3", "--dry-run").out
    for line in ('arch = "conv4"', "epochs = 7", "prune = 0.3", "batch_size = 32", "momentum = 0.9"):
        assert f"\n{line}\n" in printed


@pytest.mark.parametrize("options", [("--export", "onnx,onnx"), ("--export", "onnx", "--export", "onnx")])
def test_export_takes_comma_lists_and_repeats(command, options):
    assert 'export = [\n    "onnx",\n]' in command("run", *options, "--dry-run").out


INSPECT = """\
mine/ticket.safetensors: {size} (layers {layer}, statistics 0 B, header {header})
conv2, binary, seed 0, 0.9 removed per layer, 10 classes, input 1 x 8 x 8
layer shape kept density moved bytes bound share
conv1 64x1x3x3 58 10.07% 0 {rows[0]}
conv2 64x64x3x3 3,687 10.00% 0 {rows[1]}
linear1 256x1024 26.2k 10.00% 0 {rows[2]}
linear2 256x256 6,554 10.00% 0 {rows[3]}
linear3 10x256 256 10.00% 0 {rows[4]}
total 36.8k 10.00% 0 {rows[5]}
"""
SEARCHED = (
    r"accuracy +\d+\.\d\d% at the end of the search \(95 % interval \d+\.\d\d% to \d+\.\d\d%\), "
    "on 12 test images; a single search"
)
BOUNDS = ("34", "2,161", "15.4k", "3,842", "150", "21.6k")  # size H(density) / 8


def test_inspect_shows_the_ticket_layer_by_layer(command, run_copy):
    """Sizes are the machine's; everything else is arithmetic."""
    facts = json.loads(command("inspect", "mine", "--json").out)
    taken = [layer["bytes"] for layer in facts["layers"]]
    rows = [
        f"{compact(count)} {bound} {count / facts['bytes']:.2%}"
        for count, bound in zip([*taken, sum(taken)], BOUNDS, strict=True)
    ]
    whole, layer, header = (size(facts[key]) for key in ("bytes", "layer_bytes", "header_bytes"))
    outcome = command("inspect", "mine")
    assert (outcome.code, outcome.err) == (0, "")
    shown = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert shown == INSPECT.format(size=whole, layer=layer, header=header, rows=rows).splitlines()
    assert command("inspect", "mine/ticket.safetensors").out == outcome.out


def test_inspect_as_json_is_json_alone(command, run_copy):
    outcome = command("inspect", "mine", "--json")
    facts = json.loads(outcome.out)
    assert outcome.err == ""
    assert facts["bytes"] == (run_copy / "ticket.safetensors").stat().st_size
    assert (facts["kept"], facts["weights"], facts["seed"], facts["arch"]) == (36_770, 367_680, 0, "conv2")
    assert facts["input"] == [1, 8, 8] and facts["classes"] == [str(digit) for digit in range(10)]
    assert facts["layers"][0] | {"gain": 0, "bytes": 0, "share": 0} == {
        "name": "conv1",
        "shape": [64, 1, 3, 3],
        "weights": 576,
        "kept": 58,
        "moved": 0,
        "gain": 0,
        "bytes": 0,
        "bound_bytes": 33.9,
        "share": 0,
    }
    parts = [facts[f"{name}_bytes"] for name in ("layer", "state", "header")]
    assert sum(parts) == facts["bytes"] and parts[0] == sum(layer["bytes"] for layer in facts["layers"])
    assert facts["layers"][0]["share"] == facts["layers"][0]["bytes"] / facts["bytes"]


def test_inspect_shows_a_layers_name_as_it_is(command, run_copy):
    """Names come from the file; rich would read [/x] as markup and fail."""
    path = run_copy / "ticket.safetensors"
    subnetwork = load_ticket(path)
    renamed = dataclasses.replace(subnetwork.tensors[0], name="[/x]:smile:")
    write_ticket(dataclasses.replace(subnetwork, tensors=(renamed,)), path)
    outcome = command("inspect", "mine")
    assert outcome.code == 0 and "\n[/x]:smile: 64x1x3x3" in outcome.out


def test_reconstruct_says_what_it_compared_and_wrote(command, run_copy, here):
    outcome = command("reconstruct", "mine", "--output", "weights.safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "mine/ticket.safetensors: 5 tensors rebuilt from seed 0, all equal to their digests\n"
        f"weights.safetensors: {size((here / 'weights.safetensors').stat().st_size)}\n"
    )


def test_what_reconstruct_writes_loads_into_the_network(command, run_copy, here):
    import torch
    from safetensors.torch import load_file

    from recycle_pipeline.models.conv_nets import conv2
    from recycle_pipeline.pipeline import reconstruct

    command("reconstruct", "mine", "--output", "weights.safetensors")
    network = conv2(classes=10, channels=1, image_size=8)
    network.load_state_dict(load_file(here / "weights.safetensors"))
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(network(images), reconstruct(run_copy)(images))


def test_search_alone_prints_kept_accuracy_and_folder(command, write_photos):
    photos = write_photos()
    outcome = command(
        "search", "--arch", "conv2", "--epochs", "1", "--data", f"folder:{photos}", "--output-dir", "mine"
    )
    lines = [line.rstrip() for line in outcome.out.splitlines()]
    assert re.fullmatch(r"kept +36,590 of 365,888 weights \(10\.00%\)", lines[0])
    assert re.fullmatch(SEARCHED, lines[1])
    assert re.fullmatch(r"run folder +mine", lines[2]) and len(lines) == 3


def test_json_names_the_files_that_are_there(command, write_photos):
    line = ("--arch", "conv2", "--epochs", "1", "--data", f"folder:{write_photos()}", "--output-dir", "mine")
    printed = json.loads(command("search", *line, "--json").out)
    assert printed["files"] == {"manifest": "mine/manifest.json", "metrics": "mine/metrics.jsonl"}
    assert set(printed["stages"]) == {"search"}


def test_run_prints_what_people_ask_first(command, run_copy, same_run):
    out = command("run", *same_run, "mine").out
    for pattern in (
        r"^kept +36,770 of 367,680 weights \(10\.00%\)",
        r"^accuracy +(\d+\.\d\d)% in ONNX Runtime \(95 % interval \d+\.\d\d% to \d+\.\d\d%\), \1% in torch, "
        r"on 364 test images; a single search$",
        r"^parity +logits differ by at most \d\.\de-0\d, same top-1 on 100\.00% of these images$",
        r"^latency +0\.\d+ ms \(0\.\d+ to 0\.\d+\), dense twin 0\.\d+ ms \(0\.\d+ to 0\.\d+\); "
        r"ratio \d\.\d\d \(95 % interval \d\.\d\d to \d\.\d\d\)$",
        r"^ +batch 1, 1 thread, provider cpu, \d+ rounds in 6 pairs of sessions, which intervals are over$",
        r"^ +the shrunk shapes with nothing pruned: 0\.\d+ ms; ratio \d\.\d\d \(\d\.\d\d to \d\.\d\d\)$",
        r"^ticket +mine/ticket\.safetensors  \d+\.\d kB, \d+x smaller than the dense weights",
        r"^onnx +mine/onnx/model\.onnx  1\.\d\d MB",
        r"^shrunk +to \d+ of 128 filters, 3\S+k of 367\.7k parameters, 1\.\d\dM of 2\.73M multiply-adds; "
        r"logits within \d\.\de-0\d on \d+ images$",
        r"^run folder +mine",
    ):
        assert re.search(pattern, out, re.MULTILINE), (pattern, out)


@pytest.mark.parametrize("stage", ["pack", "export", "verify"])
def test_the_result_of_one_stage_as_json_is_json_alone_with_progress_on_stderr(command, run_copy, stage):
    outcome = command(stage, "mine", "--force", "--json")
    assert json.loads(outcome.out)["folder"] == "mine"
    assert outcome.err.startswith(f"{stage:7} ")


def test_a_process_with_json_and_quiet_writes_json_alone_and_no_byte_to_stderr(start, write_photos):
    """A process of its own, so that what libraries print themselves is seen too."""
    line = ("--arch", "conv2", "--epochs", "1", "--data", f"folder:{write_photos()}", "--output-dir", "mine")
    process = start("run", *line, "--json", "--quiet")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["stages"]["verify"]["n"] == 12


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (235_930, "235.9k"), (11_163_200, "11.16M")],
)
def test_counts_in_tables_are_in_full_while_they_are_short(count, text):
    assert compact(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (24_190, "24.2 kB"),
        (726_100, "726.1 kB"),
        (44_680_000, "44.68 MB"),
    ],
)
def test_sizes_for_people_are_decimal(count, text):
    assert size(count) == text


def test_the_table_of_a_resnet_fits_80_columns(monkeypatch):
    """Beyond that, shapes are folded and names are cut. The longest names and shapes are ResNet-50's."""
    layer = {"name": "layer4.0.shortcut.conv", "shape": [2048, 1024, 1, 1], "share": 0.3196}
    layer |= {"weights": 11_359_296, "kept": 1_235_930, "moved": 471_861, "bytes": 148_011, "bound_bytes": 14}
    out = Console(file=io.StringIO(), width=80, highlight=False)
    monkeypatch.setattr(contents, "console", lambda: out)
    facts = {"ticket": "t", "bytes": 1, "layer_bytes": 1, "state_bytes": 0, "header_bytes": 0}
    subnetwork = SimpleNamespace(arch="resnet50", options=ArchOptions(), kind="binary", seed=0, prune=0.9)
    vars(subnetwork).update(scope="layer", classes="ab", channels=3, image_size=32)
    contents.print_facts(facts | {"layers": [layer]}, subnetwork)
    row = out.file.getvalue().splitlines()[3]
    assert row.split() == [
        "layer4.0.shortcut.conv",
        "2048x1024x1x1",
        "1.24M",
        "10.88%",
        "471.9k",
        "148.0k",
        "14",
        "31.96%",
    ]
