"""`pack FILE`: a ticket that rebuilds what the file's network computes with, bit for bit; and refusals."""

import collections
import json

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from recycle_pipeline.exporters.ticket.reader import load_ticket, read_verified
from recycle_pipeline.models.conv_nets import conv2
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.resnet import resnet20
from recycle_pipeline.pipeline import reconstruct

NARROW = ArchOptions(width=0.125)
CONV2 = ("--arch", "conv2", "--width", "0.125", "--data", "digits", "--output-dir", "mine")


def constants(network):
    """Signs of its weights times a magnitude of each layer's own."""
    with torch.no_grad():
        for number, layer in enumerate(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
            layer.weight.copy_(layer.weight.sign() * (0.1 + 0.01 * number))
    return network.eval()


def pruned(network):
    for layer in [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]:
        prune.random_unstructured(layer, "weight", 0.6)
    return network


@pytest.fixture
def small():
    torch.manual_seed(4)
    return constants(conv2(classes=10, channels=1, image_size=8, options=NARROW))


@pytest.fixture
def images():
    return torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def same_bits(arrays, tensors):
    """Every array is that tensor, where pruned weights are +0."""
    return all(
        array.tobytes() == (tensors[name].detach().numpy() + 0).tobytes() for name, array in arrays.items()
    )


def test_a_pruned_module_goes_all_the_way_to_onnx_runtime(command, small, images, here):
    torch.save(pruned(small).state_dict(), "net.pt")
    outcome = command("pack", "net.pt", *CONV2)
    assert outcome.code == 0
    assert outcome.err == "pack    net.pt: masks of torch.nn.utils.prune; store the ticket\n"
    assert "ticket      mine/ticket.safetensors" in outcome.out and "kept   " in outcome.out
    subnetwork, arrays = read_verified(here / "mine" / "ticket.safetensors")
    effective = {
        f"{name}.weight": layer.weight for name, layer in small.named_children() if hasattr(layer, "weight")
    }
    assert arrays.keys() == effective.keys() and same_bits(arrays, effective)
    assert (subnetwork.kind, subnetwork.scope) == ("binary", "global")
    assert subnetwork.prune == pytest.approx(0.6, abs=1e-3)

    assert command("export", "mine").code == 0
    session = onnxruntime.InferenceSession("mine/onnx/model.onnx", providers=["CPUExecutionProvider"])
    weights = (images - subnetwork.mean[0]) / subnetwork.std[0]
    (logits,) = session.run(None, {"images": weights.numpy()})
    assert np.abs(logits - small(weights).detach().numpy()).max() < 1e-5
    assert torch.equal(reconstruct("mine")(images), small(images))
    assert command("verify", "mine").code == 0
    assert json.loads((here / "mine" / "verify.json").read_text())["passed"]


def test_batch_norm_comes_along_and_a_public_checkpoint_is_understood(command, here):
    """cResNet20's names, as DataParallel saves them, scores beside Kaiming-normal weights: Biprop at 0.2."""
    torch.manual_seed(5)
    network = resnet20(classes=10, channels=3, image_size=32)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    theirs = {}
    for name, tensor in network.state_dict().items():
        name = name.replace("stem.conv", "conv1").replace("stem.bn", "bn1").replace("classifier", "fc")
        name = "module." + name.replace("shortcut.conv", "shortcut.0").replace("shortcut.bn", "shortcut.1")
        if name == "module.fc.weight":
            tensor = tensor.view(*tensor.shape, 1, 1)
        theirs[name] = tensor
        if tensor.ndim == 4:
            theirs[name.replace("weight", "scores")] = torch.randn(tensor.shape)
    torch.save({"epoch": 9, "arch": "cResNet20", "state_dict": theirs, "best_acc1": 0.0}, "best.pth")
    line = ("--arch", "resnet20", "--classes", "10", "--image-size", "32", "--mean", "0.491,0.482,0.447")
    line += ("--std", "0.247,0.243,0.262", "--method", "biprop", "--keep", "0.2", "--seed", "11")
    outcome = command("pack", "best.pth", *line, "--output-dir", "mine")
    assert outcome.code == 0
    subnetwork, arrays = read_verified(here / "mine" / "ticket.safetensors")
    assert (subnetwork.seed, subnetwork.channels, subnetwork.image_size) == (11, 3, 32)
    assert (subnetwork.mean, subnetwork.classes[9]) == ((0.491, 0.482, 0.447), "9")
    weight, scores = theirs["module.layer1.0.conv1.weight"], theirs["module.layer1.0.conv1.scores"]
    order = scores.abs().flatten().sort(stable=True).indices
    mask = torch.ones(weight.numel()).index_fill(0, order[: int(0.8 * weight.numel())], 0).view(weight.shape)
    gain = (weight.abs() * mask).sum() / int(0.2 * weight.numel())
    assert arrays["layer1.0.conv1.weight"].tobytes() == (weight.sign() * (gain * mask) + 0).numpy().tobytes()
    statistics = {name: tensor for name, tensor in network.state_dict().items() if "running" in name}
    assert len(statistics) == 42 and same_bits({n: arrays[n] for n in statistics}, statistics)
    assert dict(subnetwork.recipe)["convention"] == "biprop scores" and subnetwork.recipe["keep"] == 0.2


def test_zeros_and_a_first_layer_left_dense(command, small, here):
    with torch.no_grad():
        small.conv1.weight.normal_()
        small.linear1.weight[:, ::3] = -0.0
    safetensors.torch.save_file(small.state_dict(), "net.safetensors")
    refused = command("pack", "net.safetensors", *CONV2)
    assert refused.code == 2 and "\n  conv1: 72 magnitudes from " in refused.err
    assert not (here / "mine").exists()
    assert command("pack", "net.safetensors", *CONV2, "--unmasked", "conv1").code == 0
    subnetwork, arrays = read_verified(here / "mine" / "ticket.safetensors")
    assert "conv1" not in [tensor.name for tensor in subnetwork.tensors]
    assert arrays["conv1.weight"].tobytes() == small.conv1.weight.detach().numpy().tobytes()
    assert same_bits(arrays, small.state_dict())
    assert command("inspect", "mine").code == command("compare", "mine", "mine").code == 0


def test_what_reconstruct_wrote_can_be_packed_again_to_the_same_weights(command, run_copy, here):
    for suffix in ("pt", "safetensors"):
        assert command("reconstruct", "mine", "--output", f"x.{suffix}").code == 0
        line = ("--arch", "conv2", "--data", "digits", "--output-dir", suffix)
        assert command("pack", f"x.{suffix}", *line).code == 0
        one, other = (read_verified(here / name / "ticket.safetensors")[1] for name in ("mine", suffix))
        assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in other.items()}
    assert (
        load_ticket("pt/ticket.safetensors").state.keys()
        == load_ticket("mine/ticket.safetensors").state.keys()
    )


def test_a_network_of_ones_own(command, custom_module, here):
    name = custom_module()
    torch.manual_seed(6)
    own = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )
    constants(own)
    body = collections.OrderedDict((f"body.{key}", tensor) for key, tensor in own.state_dict().items())
    torch.save(body, "own.pt")
    renames = [word for index in (0, 1, 4) for word in ("--rename", f"body.{index}={index}")]
    line = ("--arch", f"{name}:net", "--data", "digits", "--output-dir", "mine", *renames)
    assert command("pack", "own.pt", *line).code == 0
    arrays = read_verified(here / "mine" / "ticket.safetensors")[1]
    assert arrays["0.bias"].any() and same_bits(arrays, own.state_dict())
    assert command("export", "mine", "--arch", f"{name}:net").code == 0


def test_the_same_again_is_skipped_and_another_is_refused_unless_forced(command, small, here, tree):
    torch.save(small.state_dict(), "net.pt")
    assert command("pack", "net.pt", *CONV2).code == 0
    first = (here / "mine" / "ticket.safetensors").read_bytes()
    again = command("pack", "net.pt", *CONV2)
    assert (again.code, again.err) == (0, "pack    unchanged, skipped\n")
    before = tree()
    other = command("pack", "net.pt", *CONV2, "--seed", "3")
    assert other.code == 2 and "--force to replace it" in other.err and tree() == before
    assert command("export", "mine").code == 0
    assert command("pack", "net.pt", *CONV2, "--seed", "3", "--force").code == 0
    assert (here / "mine" / "ticket.safetensors").read_bytes() != first
    assert not (here / "mine" / "onnx" / "model.onnx").exists()


def test_without_an_output_dir_the_folder_is_named_after_file_and_content(command, small, here):
    torch.save(small.state_dict(), "my net.pt")
    assert command("pack", "my net.pt", *CONV2[:-2]).code == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.startswith("conv2-my-net-") and (folder / "ticket.safetensors").is_file()


def test_a_search_does_not_run_over_a_packed_ticket(command, small, here, tree):
    torch.save(small.state_dict(), "net.pt")
    assert command("pack", "net.pt", *CONV2).code == 0
    before = tree()
    run = command("run", *CONV2, "--epochs", "1")
    assert run.code == 2 and "holds a ticket that was packed from a file" in run.err
    again = command("pack", "mine")
    assert again.code == 2 and "to pack it again give the file" in again.err
    assert tree() == before
    assert command("search", *CONV2, "--epochs", "1", "--force", "search", "--quiet").code == 0
    assert not (here / "mine" / "ticket.safetensors").exists()
    assert command("pack", "mine").code == 0


def test_a_file_is_not_packed_over_a_run(command, run_copy, small, tree):
    torch.save(small.state_dict(), "net.pt")
    before = tree()
    for force in ((), ("--force",)):
        outcome = command("pack", "net.pt", *CONV2, *force)
        assert outcome.code == 2 and "holds no ticket packed from a file" in outcome.err
    assert tree() == before


def test_without_data_the_ticket_is_whole_and_verify_says_what_it_lacks(command, small, here):
    torch.save(small.state_dict(), "net.pt")
    line = ("--arch", "conv2", "--width", "0.125", "--output-dir", "mine", "--image-size", "8")
    line += ("--classes", "a,b,c,d,e,f,g,h,i,j", "--mean", "0.5", "--std", "0.25")
    assert command("pack", "net.pt", *line).code == 0
    assert load_ticket("mine/ticket.safetensors").classes == tuple("abcdefghij")
    assert "data" not in (here / "mine" / "config.toml").read_text()
    for stage in ("export", "verify"):
        outcome = command(stage, "mine")
        assert outcome.code == 2 and "was packed without --data" in outcome.err
    assert command("reconstruct", "mine", "--output", "model.onnx").code == 0


def test_the_data_sets_statistics_can_be_replaced(command, small, here):
    torch.save(small.state_dict(), "net.pt")
    assert command("pack", "net.pt", *CONV2, "--mean", "0.25", "--std", "0.5").code == 0
    found = load_ticket("mine/ticket.safetensors")
    assert (found.mean, found.std) == ((0.25,), (0.5,))


def test_json_has_no_settings_of_a_search(command, small, here):
    torch.save(small.state_dict(), "net.pt")
    printed = json.loads(command("pack", "net.pt", *CONV2, "--json").out)
    assert (
        printed["config"]["arch"] == "conv2" and not {"epochs", "reuse", "prune"} & printed["config"].keys()
    )
    assert printed["stages"]["pack"]["conventions"] == ["zeros"]
    assert "epochs" not in (here / "mine" / "config.toml").read_text()


FULL = ("--classes", "10", "--image-size", "8", "--mean", "0.5", "--std", "0.25")
REFUSED = {
    "no arch": ((), "net.pt does not say its architecture: expected --arch"),
    "unknown arch": (("--arch", "conv3", *FULL), "unknown arch 'conv3' (did you mean conv"),
    "no data": (("--arch", "conv2"), "or in its place also --classes, --image-size, --mean, --std"),
    "half the input": (("--arch", "conv2", "--classes", "10", "--std", "1"), "also --image-size, --mean"),
    "unequal": (("--arch", "conv2", *FULL, "--std", "1,1"), "--mean has 1 numbers, --std 2"),
    "no numbers": (("--arch", "conv2", *FULL, "--mean", "x"), "--mean 'x': expected a number per channel"),
    "std of 0": (("--arch", "conv2", *FULL, "--std", "0"), "--std '0': expected a number per channel"),
    "one class": (
        ("--arch", "conv2", *FULL, "--classes", "1"),
        "--classes '1': expected a number of at least 2",
    ),
    "equal classes": (("--arch", "conv2", *FULL, "--classes", "a,a"), "--classes 'a,a': expected a number"),
    "classes twice": ((*CONV2, "--classes", "10"), "--classes is for a file without --data"),
    "channels": ((*CONV2, "--mean", "0.1,0.2,0.3"), "--mean has 3 numbers; expected 1, one for each channel"),
    "another width": (
        ("--arch", "conv2", *FULL),
        "conv1.weight: of shape (8, 1, 3, 3), expected (64, 1, 3, 3)",
    ),
    "method": ((*CONV2, "--method", "biprop", "--keep", "0.5"), "--method biprop is for a file with scores"),
    "method alone": ((*CONV2, "--method", "biprop"), "--method biprop needs either --keep"),
    "both": ((*CONV2, "--method", "biprop", "--keep", "0.5", "--prune", "0.5"), "needs either --keep"),
    "keep alone": ((*CONV2, "--keep", "0.5"), "--keep 0.5 is of a file with scores: give --method too"),
    "percent": ((*CONV2, "--method", "biprop", "--keep", "20"), "did you mean 0.2?"),
    "global": (
        (*CONV2, "--method", "edge-popup", "--keep", "0.5", "--scope", "global"),
        "--scope global is published for --method biprop alone",
    ),
    "rename": ((*CONV2, "--rename", "fc"), "--rename 'fc': expected OLD=NEW"),
    "rename of nothing": ((*CONV2, "--rename", "fc=linear3"), "no tensor of the file is called fc"),
    "unmasked": ((*CONV2, "--unmasked", "fc"), "--unmasked fc: no such layer; expected one of conv1, conv2"),
    "data": (("--arch", "conv2", "--data", "digit"), "unknown data set 'digit'"),
    "batch norm": ((*CONV2, "--batch-norm", "learned"), "--batch-norm learned: conv2 has no batch norm"),
}


@pytest.mark.parametrize(("line", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together_is_exit_2_and_nothing_is_written(command, small, tree, line, words):
    torch.save(small.state_dict(), "net.pt")
    before = tree()
    outcome = command("pack", "net.pt", *line)
    assert (outcome.code, outcome.out) == (2, "") and words in outcome.err
    assert tree() == before


def test_options_of_a_file_are_refused_for_a_run_folder(command, run_copy, tree):
    before = tree()
    outcome = command("pack", "mine", "--data", "digits")
    assert (outcome.code, outcome.err) == (
        2,
        "Error: --data is for a file of weights, and mine is a folder; leave it out\n",
    )
    assert tree() == before


def test_what_is_not_there_is_exit_2_and_what_is_damaged_exit_6(command, small, here, tree):
    assert command("pack", "gone.pt").err == (
        "Error: there is no gone.pt: expected a run folder, or a file of weights\n"
    )
    (here / "net.pt").write_bytes(b"PK\x03\x04 and no more")
    before = tree()
    outcome = command("pack", "net.pt", *CONV2)
    assert outcome.code == 6 and "net.pt is not a whole file of torch.save" in outcome.err
    assert tree() == before


def test_a_network_of_zeros_alone_is_refused(command, small):
    torch.save({name: tensor * 0 for name, tensor in small.state_dict().items()}, "net.pt")
    outcome = command("pack", "net.pt", *CONV2)
    assert (outcome.code, outcome.err) == (
        2,
        "Error: every weight of net.pt is 0: there is nothing to pack\n",
    )


def test_a_layer_of_zeros_and_a_dense_layer_are_exact(command, small, here):
    with torch.no_grad():
        small.linear2.weight.zero_()
    torch.save(small.state_dict(), "net.pt")
    assert command("pack", "net.pt", *CONV2).code == 0
    subnetwork, arrays = read_verified(here / "mine" / "ticket.safetensors")
    assert same_bits(arrays, small.state_dict())
    assert {t.name: t.kept / t.size for t in subnetwork.tensors} == {
        "conv1": 1, "conv2": 1, "linear1": 1, "linear2": 0, "linear3": 1,
    }  # fmt: skip
    assert command("inspect", "mine", "--json").code == 0
