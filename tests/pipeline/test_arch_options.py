"""Width, binary activations and learned batch norm through every stage."""

import json

import numpy as np
import onnx
import pytest
import torch

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.twin import write_dense_twin
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.models.layers import BinaryActivation
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.pipeline import reconstruct, run
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised

SIGNS = {"activations": "binary", "batch_norm": "learned", "width": 0.5}


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """A finished run of conv2 with signs and learned batch norm: one epoch of digits."""
    root = tmp_path_factory.mktemp("signs") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
        return run(arch="conv2", epochs=1, output_dir=root, **SIGNS)


def test_signs_are_searched_packed_exported_and_verified(signs):
    """Logits tie, so that top-1 may differ where they do not: see `resolve`."""
    search, verify = signs.facts("search"), signs.facts("verify")
    assert search["test_accuracy"] == verify["torch_accuracy"] > 0.3
    assert verify["agreement"] >= 0.99
    assert abs(verify["ort_accuracy"] - verify["torch_accuracy"]) <= 0.02
    report = json.loads(signs.folder.verify.read_text())
    assert [v["name"] for v in report["verdicts"] if v["outcome"] == "passed"] == [
        "min_agreement",
        "max_accuracy_drop",
    ]


def test_the_ticket_carries_the_options_and_what_was_learned(signs):
    subnetwork = load_ticket(signs.ticket)
    assert subnetwork.options == ArchOptions(**SIGNS)
    assert {name: subnetwork.recipe[name] for name in SIGNS} == SIGNS
    names = [f"{layer}.{part}" for layer in ("bn1", "bn2", "linear1_bn") for part in ("weight", "bias")]
    learned = [np.ptp(subnetwork.state[name]) for name in names]
    assert min(learned) > 0  # they began as ones and zeros
    assert subnetwork.tensors[0].mask.shape == (32, 1, 3, 3)


def test_the_ticket_alone_rebuilds_the_network(signs):
    network = reconstruct(signs.ticket)
    assert sum(isinstance(m, BinaryActivation) for m in network) == 4
    model = open_session(signs.models["onnx"], "cpu", threads=1)
    images = load("digits").test_images
    pixels = normalised(images, *(getattr(load_ticket(signs.ticket), name) for name in ("mean", "std")))
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    close = np.abs(model.predict(pixels) - expected).max(1) <= 1e-4
    assert close.mean() >= 0.99


def test_the_exported_model_takes_signs_and_says_so(signs, tmp_path):
    model = onnx.load(signs.models["onnx"])
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Sign") == 4 and "Relu" not in operators
    properties = {p.key: p.value for p in model.metadata_props}
    assert {name: properties[name] for name in SIGNS} == {name: str(value) for name, value in SIGNS.items()}
    write_dense_twin(signs.models["onnx"], tmp_path / "twin.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "twin.onnx").graph.node] == operators


def test_inspect_shows_the_options(signs, command):
    facts = json.loads(command("inspect", signs.ticket, "--json").out)
    assert facts["options"] == SIGNS
    assert "conv2, width 0.5, activations binary, batch norm learned, binary, seed 0" in (
        command("inspect", signs.ticket).out
    )


def test_a_later_stage_reads_the_options_from_the_folder(signs, command):
    root = signs.folder.root
    assert {name: read_run_config(signs.folder.config)[name] for name in SIGNS} == SIGNS
    assert command("export", root, "--force", "--quiet").code == 0
    assert command("verify", root, "--quiet").code == 0


def test_other_options_are_another_run(signs, command):
    line = ("run", "--arch", "conv2", "--epochs", "1", "--output-dir", signs.folder.root)
    outcome = command(*line)
    assert outcome.code == 2
    assert "holds another run (width 0.5 there, 1.0 asked; activations binary there, relu" in outcome.err


def test_what_a_run_without_options_leaves_does_not_name_them(finished):
    """So that folders and tickets of earlier versions are found and made again to the byte."""
    subnetwork = load_ticket(finished.ticket)
    assert not set(SIGNS) & set(subnetwork.recipe) and subnetwork.options == ArchOptions()
    assert not set(SIGNS) & set(finished.stages["search"].config)
    assert "min_agreement" not in finished.stages["verify"].config


def test_options_of_a_custom_arch_are_refused_before_anything_is_written(custom_module, command, tree):
    module, before = custom_module(), tree()
    outcome = command("run", "--arch", f"{module}:net", "--width", "0.5", "--epochs", "1")
    assert outcome.code == 2 and tree() == before
    assert outcome.err.startswith(
        "Error: --width 0.5 is for the architectures that come with this tool, and "
    )


@pytest.mark.parametrize("arch", ["resnet20", "vgg_small"])
def test_other_architectures_with_signs_pass_too(arch, here):
    result = run(arch=arch, epochs=1, output_dir="mine", **(SIGNS | {"width": 0.25}))
    assert result.facts("verify")["agreement"] >= 0.99
