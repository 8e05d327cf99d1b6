"""The Python functions: what they return is what the command prints, and a ticket gives back the network."""

import json

import numpy as np
import pytest
import torch

from recycle_pipeline.exporters.ticket.digests import agrees
from recycle_pipeline.exporters.ticket.reader import load_ticket, stored_digests
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline import reconstruct, run
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.rebuild import rebuild


def test_run_returns_what_the_command_prints(command, run_copy, same_run):
    result = run(arch="conv2", epochs=1, output_dir="mine")
    printed = json.loads(command("run", *same_run, "mine", "--json").out)
    assert json.loads(json.dumps(result.to_json())) == printed
    assert printed["schema"] == 1 and printed["folder"] == "mine"
    assert printed["files"] == {
        "ticket": "mine/ticket.safetensors",
        "verify": "mine/verify.json",
        "manifest": "mine/manifest.json",
        "metrics": "mine/metrics.jsonl",
        "card": "mine/README.md",
        "report": "mine/report.html",
        "onnx": "mine/onnx/model.onnx",
    }
    assert printed["stages"]["search"]["kept"] == 36_770


def test_a_result_gives_paths_and_facts(finished):
    assert finished.ticket == finished.folder.root / "ticket.safetensors"
    assert finished.models == {"onnx": finished.folder.root / "onnx" / "model.onnx"}
    assert finished.facts("verify")["n"] == 364
    assert finished.facts("deploy") == {}


def test_run_is_silent_and_tells_a_reporter_if_given_one(run_copy, capfd):
    said = []

    class Telling:
        def stage(self, name, text):
            said.append((name, text))

    run(arch="conv2", epochs=1, output_dir=run_copy)
    assert capfd.readouterr() == ("", "")
    run(arch="conv2", epochs=1, output_dir=run_copy, reporter=Telling())
    assert said == [(name, "unchanged, skipped") for name in ("search", "pack", "export", "verify")]


def test_options_win_over_a_file_and_keep_over_its_prune(run_copy, here):
    (here / "run.toml").write_text('arch = "conv2"\nepochs = 9\nkeep = 0.5\n')
    result = run(config="run.toml", epochs=1, prune=0.9, output_dir=run_copy)
    assert (result.config.epochs, result.config.prune) == (1, 0.9)


def test_a_stage_can_be_forced(run_copy):
    again = run(arch="conv2", epochs=1, output_dir=run_copy, force=("pack",))
    assert again.facts("pack") == run(arch="conv2", epochs=1, output_dir=run_copy).facts("pack")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prun": 0.9}, "unknown setting 'prun'; did you mean prune?"),
        ({"dry_run": True}, "unknown setting 'dry_run'"),
        ({"prune": 90}, "--prune 90 is not a fraction; did you mean 0.9?"),
        ({"epochs": "3"}, "setting epochs = '3' is a str; expected int"),
        ({"force": ("train",)}, "unknown stage 'train'"),
        ({"arch": "resnet19"}, "unknown arch 'resnet19' (did you mean resnet18?); known: conv2, conv4"),
    ],
    ids=str,
)
def test_bad_options_are_refused_as_on_the_command_line(here, tree, options, message):
    with pytest.raises(UsageFault) as caught:
        run(**options)
    assert str(caught.value).startswith(message)
    assert tree() == {}


def test_one_stage_to_force_may_be_given_as_a_name(run_copy):
    run(arch="conv2", epochs=1, output_dir=run_copy, force="pack")


def test_reconstruct_gives_a_network_that_classifies_as_the_searched_one_did(finished):
    network = reconstruct(finished.ticket)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    images = load("digits")
    logits = network(torch.from_numpy(normalised(images.test_images, images.mean, images.std)))
    accuracy = float(np.mean(logits.argmax(1).numpy() == images.test_labels))
    assert accuracy == finished.facts("search")["test_accuracy"] > 0.25


def test_reconstruct_takes_a_run_folder_or_a_ticket_as_text_or_path(finished):
    states = [
        reconstruct(given).state_dict()
        for given in (finished.folder.root, str(finished.folder.root), finished.ticket, str(finished.ticket))
    ]
    for state in states[1:]:
        assert all(torch.equal(state[name], tensor) for name, tensor in states[0].items())


def test_the_searched_tensors_the_ticket_and_the_rebuilt_ones_have_one_set_of_digests(finished):
    digests = stored_digests(finished.ticket)
    assert digests == stored_digests(finished.folder.searched)
    state = reconstruct(finished.ticket).state_dict()
    assert digests.keys() == state.keys()
    assert all(agrees(tensor.numpy(), digests[name]) for name, tensor in state.items())


FRESH = """
import json, sys
from recycle_pipeline.exporters.ticket.digests import digests_of
from recycle_pipeline.pipeline import reconstruct
state = {name: tensor.numpy() for name, tensor in reconstruct(sys.argv[1]).state_dict().items()}
weights = {name: state[name] for name in json.loads(sys.argv[2])}
print(json.dumps(digests_of(weights, {name: state[name] for name in state if name not in weights})))
"""


def test_a_fresh_process_rebuilds_the_digests_of_the_ticket(finished, start):
    stored = stored_digests(finished.ticket)
    weights = json.dumps([f"{tensor.name}.weight" for tensor in load_ticket(finished.ticket).tensors])
    out, err = start(finished.ticket, weights, script=FRESH).communicate(timeout=120)
    assert json.loads(out) == stored, err


def test_reconstruct_refuses_what_is_not_there(tmp_path):
    with pytest.raises(UsageFault, match=f"^no ticket at {tmp_path / 'ticket.safetensors'}: expected"):
        reconstruct(tmp_path)


def test_reconstruct_refuses_another_arch_than_the_tickets(finished):
    with pytest.raises(UsageFault, match=r"^--arch conv4 was given, but .* is of arch conv2$"):
        reconstruct(finished.ticket, arch="conv4")
    assert rebuild(finished.ticket, arch="conv2").subnetwork.arch == "conv2"


def test_a_ticket_that_does_not_rebuild_its_digests_is_refused_and_the_tensor_named(run_copy, command):
    """Intact as a file; as if this version drew other numbers than the one that wrote it."""
    path = run_copy / "ticket.safetensors"
    digests = stored_digests(path)
    write_ticket(load_ticket(path), path, digests | {"linear1.weight": digests["linear2.weight"]})
    with pytest.raises(CorruptArtefact, match=r"linear1\.weight"):
        reconstruct(path)
    outcome = command("reconstruct", path, "--output", "weights.safetensors")
    assert outcome.code == 6 and "linear1.weight" in outcome.err and outcome.out == ""
    assert not (run_copy.parent / "weights.safetensors").exists()


def test_reconstruct_refuses_a_damaged_ticket(run_copy):
    ticket = run_copy / "ticket.safetensors"
    ticket.write_bytes(ticket.read_bytes()[:-1])
    with pytest.raises(CorruptArtefact, match="is damaged"):
        reconstruct(ticket)
