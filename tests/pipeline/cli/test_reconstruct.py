"""`reconstruct --output`: a state dict, an ONNX model, and what is refused before any work."""

import os

import onnx
import pytest
import torch

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.conv_nets import conv2
from recycle_pipeline.pipeline import reconstruct
from recycle_pipeline.pipeline.wording import size


def test_a_state_dict_loads_into_the_network(command, run_copy, here):
    outcome = command("reconstruct", "mine", "--output", "weights.pt")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "mine/ticket.safetensors: 5 tensors rebuilt from seed 0, all equal to their digests\n"
        f"weights.pt: {size((here / 'weights.pt').stat().st_size)}\n"
    )
    network = conv2(classes=10, channels=1, image_size=8)
    network.load_state_dict(torch.load(here / "weights.pt", weights_only=True))
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(network(images), reconstruct(run_copy)(images))


def test_an_onnx_model_is_the_one_that_export_writes(command, run_copy, here):
    """Metadata included: byte for byte."""
    outcome = command("reconstruct", "mine", "--output", "model.onnx")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith(f"model.onnx: {size((here / 'model.onnx').stat().st_size)}\n")
    assert (here / "model.onnx").read_bytes() == (run_copy / "onnx" / "model.onnx").read_bytes()
    properties = {p.key: p.value for p in onnx.load(here / "model.onnx").metadata_props}
    assert (properties["arch"], properties["form"]) == ("conv2", "onnx")


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "onnx"])
def test_a_damaged_ticket_is_exit_6_and_nothing_is_written(command, run_copy, here, tree, suffix):
    ticket = run_copy / "ticket.safetensors"
    subnetwork = load_ticket(ticket)
    write_ticket(subnetwork, ticket, {f"{tensor.name}.weight": "0" * 32 for tensor in subnetwork.tensors})
    before = tree()
    outcome = command("reconstruct", "mine", "--output", f"x.{suffix}")
    assert (outcome.code, outcome.out) == (6, "") and tree() == before
    assert "the rebuilt array is not the one that was stored" in outcome.err


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "onnx"])
def test_a_full_disk_is_exit_1_and_leaves_the_old_file(command, run_copy, here, monkeypatch, tree, suffix):
    (here / f"x.{suffix}").write_bytes(b"old")
    before = tree()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = command("reconstruct", "mine", "--output", f"x.{suffix}")
    assert outcome.code == 1 and "No space left on device" in outcome.err
    assert tree() == before


def test_the_ticket_itself_and_a_folder_are_refused_as_output(command, run_copy, here, tree):
    (here / "folder.pt").mkdir()
    before = tree()
    itself = command("reconstruct", "mine", "--output", "mine/ticket.safetensors")
    assert (itself.code, itself.err) == (
        2,
        "Error: --output mine/ticket.safetensors is the ticket itself: choose another name\n",
    )
    folder = command("reconstruct", "mine", "--output", "folder.pt")
    assert folder.err == "Error: --output folder.pt is a folder: expected the name of a file\n"
    assert folder.code == 2 and tree() == before


def test_what_cannot_be_folded_is_said_and_written_as_it_is(command, run_copy, here, monkeypatch):
    from recycle_pipeline.models.fold import _unfolded

    monkeypatch.setattr(
        "recycle_pipeline.pipeline.dense_model.fold_batch_norm", lambda network, *_: _unfolded(network, "why")
    )
    outcome = command("reconstruct", "mine", "--output", "model.onnx")
    assert (outcome.code, outcome.err) == (0, "note: batch norm stays unfolded: why\n")
    assert onnx.load(here / "model.onnx").graph.output[0].name == "logits"
