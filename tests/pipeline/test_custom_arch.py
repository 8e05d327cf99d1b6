"""A user's own architecture through every stage: biases, affine batch norm, and no import unasked."""

import sys

import numpy as np
import onnx
import pytest
import torch

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline import reconstruct, run
from recycle_pipeline.pipeline.manifest import read_manifest


@pytest.fixture
def pages_without_pictures():
    """In place of the one for other tests: here pictures are drawn."""


@pytest.fixture
def custom_run(here, custom_module, write_photos):
    """A finished run of a custom architecture: its result and the module's name."""
    module = custom_module()
    options = {"data": f"folder:{write_photos()}", "epochs": 3, "batch_size": 16, "learning_rate": 0.5}
    return run(arch=f"{module}:net", output_dir="mine", **options), module


def test_a_custom_arch_is_searched_packed_exported_and_verified(custom_run):
    result, module = custom_run
    assert result.facts("verify")["max_difference"] <= 1e-4
    assert result.facts("verify")["torch_accuracy"] == result.facts("search")["test_accuracy"]
    assert result.facts("export")["batch_norms_folded"] == 1
    subnetwork = load_ticket(result.ticket)
    assert subnetwork.arch == f"{module}:net" and subnetwork.classes == ("a", "b", "c")
    assert [tensor.name for tensor in subnetwork.tensors] == ["0", "4"]
    for name, value in {"0.bias": 0, "4.bias": 0, "1.weight": 1, "1.bias": 0}.items():
        assert np.all(subnetwork.state[name] == value)
    assert not np.all(subnetwork.state["1.running_mean"] == 0)
    operators = {node.op_type for node in onnx.load(result.models["onnx"]).graph.node}
    assert "BatchNormalization" not in operators


TWICE = """
from torch import nn

class Twice(nn.Module):
    def __init__(self, classes, channels, image_size):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels * image_size**2, classes)

    def forward(self, images):
        return self.head(self.norm(self.convolution(self.convolution(images))).flatten(1))

net = Twice
"""


def test_a_batch_norm_that_cannot_be_folded_is_exported_as_it_is_and_said(
    custom_module, write_photos, command, here
):
    line = ("--arch", f"{custom_module(TWICE)}:net", "--data", f"folder:{write_photos()}", "--epochs", "1")
    outcome = command("run", *line, "--output-dir", "mine")
    assert outcome.code == 0
    note = "layer convolution is called more than once"
    assert f"\nexport  note: batch norm stays unfolded: {note}\n" in outcome.err
    facts = read_manifest(here / "mine" / "manifest.json").stages["export"].facts
    assert (facts["batch_norms_folded"], facts["fold_note"]) == (0, note)
    model = onnx.load(here / "mine" / "onnx" / "model.onnx")
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


def test_its_ticket_is_rebuilt_only_if_the_arch_is_given(custom_run):
    result, module = custom_run
    for name in [name for name in sys.modules if name == module]:
        del sys.modules[name]
    with pytest.raises(
        UsageFault, match=f"custom code named in a file.*give --arch {module}:net on the command"
    ):
        reconstruct(result.ticket)
    assert module not in sys.modules
    with pytest.raises(
        UsageFault, match=f"^--arch {module}:other was given, but .* is of arch {module}:net$"
    ):
        reconstruct(result.ticket, arch=f"{module}:other")
    assert module not in sys.modules
    network = reconstruct(result.ticket, arch=f"{module}:net")
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


def test_single_stages_need_the_arch_repeated_if_they_import_it(custom_run, command):
    arch = f"{custom_run[1]}:net"
    for stage in ("export", "verify"):
        refused = command(stage, "mine", "--force")
        assert refused.code == 2 and f"if you trust it, give --arch {arch} on the command line" in refused.err
        assert command(stage, "mine", "--force", "--arch", arch).code == 0


def test_pack_inspect_and_reconstruct_import_nothing_and_need_no_arch(custom_run, command):
    module = custom_run[1]
    sys.modules.pop(module)
    for line in (("pack", "mine", "--force"), ("inspect", "mine"), ("reconstruct", "mine")):
        outcome = command(*line)
        assert outcome.code == 0, outcome.err
    assert module not in sys.modules


def test_a_file_that_names_custom_code_is_refused_and_its_advice_works(custom_run, command, here):
    arch = f"{custom_run[1]}:net"
    (here / "run.toml").write_text(f'arch = "{arch}"\nepochs = 3\n')
    refused = command("run", "--config", "run.toml", "--dry-run")
    assert refused.code == 2 and f"give --arch {arch} on the command line" in refused.err
    assert command("run", "--config", "run.toml", "--arch", arch, "--dry-run").code == 0


def test_a_builder_without_a_source_file_is_searched_too(custom_module, write_photos, command):
    module = custom_module(
        "import functools\nfrom torch import nn\n"
        "def build(classes, channels, image_size, width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, width), nn.ReLU(),\n"
        "                         nn.Linear(width, classes))\n"
        "net = functools.partial(build, width=8)\n"
    )
    line = ("search", "--arch", f"{module}:net", "--data", f"folder:{write_photos()}", "--epochs", "1")
    assert command(*line).code == 0


def test_what_a_custom_arch_draws_itself_follows_the_seed(custom_module, write_photos, command, here):
    """Its unmasked parameters stay as built; they are stored, and one seed gives one run."""
    module = custom_module(
        "import torch\nfrom torch import nn\n"
        "class Shifted(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.shift = nn.Parameter(torch.randn(64))\n"
        "        self.head = nn.Linear(64, classes)\n"
        "    def forward(self, images):\n"
        "        return self.head(images.flatten(1) + self.shift)\n"
        "def net(classes, channels, image_size):\n"
        "    return Shifted(classes)\n"
    )
    line = (
        "search",
        "--arch",
        f"{module}:net",
        "--data",
        f"folder:{write_photos()}",
        "--epochs",
        "1",
        "--seed",
    )
    states = []
    for number, seed in enumerate((1, 1, 2)):
        assert command(*line, seed, "--output-dir", f"run{number}").code == 0
        states.append(load_ticket(here / f"run{number}" / "search.safetensors").state["shift"])
    assert np.array_equal(states[0], states[1]) and not np.array_equal(states[0], states[2])
    stored = reconstruct("run0/search.safetensors", arch=f"{module}:net").state_dict()["shift"]
    assert np.array_equal(stored.numpy(), states[0])


def test_reconstruct_writes_its_model_if_the_arch_is_given_the_same_as_export_did(custom_run, command, here):
    """With a batch norm that is folded, here on random pixels and there on images."""
    result, module = custom_run
    refused = command("reconstruct", "mine", "--output", "m.onnx")
    assert refused.code == 2 and f"give --arch {module}:net on the command" in refused.err
    assert not (here / "m.onnx").exists()
    done = command("reconstruct", "mine", "--output", "m.onnx", "--arch", f"{module}:net")
    assert (done.code, done.err) == (0, "")
    assert (here / "m.onnx").read_bytes() == result.models["onnx"].read_bytes()


def test_the_weights_of_its_ticket_need_no_arch(custom_run, command, here):
    _, module = custom_run
    assert command("reconstruct", "mine", "--output", "w.pt").code == 0
    names = torch.load(here / "w.pt", weights_only=True).keys()
    assert {"0.weight", "1.running_mean", "4.bias"} <= names
    other = command("reconstruct", "mine", "--output", "m.onnx", "--arch", f"{module}:other")
    assert other.code == 2 and "is of arch" in other.err


# Computes its middle again in the backward pass, of convolutions that a search on a CPU makes products of.
CHECKPOINTED = """
from torch import nn
from torch.utils.checkpoint import checkpoint

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, stride=4, padding=1)
        self.middle = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.last = nn.Linear(8, classes)

    def forward(self, images):
        seen = self.first(images)
        return self.last(checkpoint(self.middle, seen, use_reentrant=False).flatten(1))

def net(classes, channels, image_size):
    return Net(classes, channels)
"""


def test_a_network_that_computes_parts_again_in_its_backward_pass_is_searched(custom_module, command):
    outcome = command("search", "--arch", f"{custom_module(CHECKPOINTED)}:net", "--epochs", 1)
    assert outcome.code == 0, outcome.err
