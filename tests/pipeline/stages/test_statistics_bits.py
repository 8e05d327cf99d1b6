"""--statistics-bits: what pack stores, and what verify says that it did."""

import json
import shutil

import numpy as np
import pytest

import recycle_pipeline.pipeline
from recycle_pipeline.exporters.ticket.reader import load_ticket, read_verified
from recycle_pipeline.exporters.ticket.rounding import rounded


@pytest.fixture(scope="module")
def with_batch_norm(tmp_path_factory):
    """A finished run of a small ResNet, one epoch of digits. Copy it."""
    root = tmp_path_factory.mktemp("with-batch-norm") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
        recycle_pipeline.pipeline.run(arch="resnet20", width=0.25, epochs=1, output_dir=root)
    return root


@pytest.fixture
def mine(with_batch_norm, here):
    shutil.copytree(with_batch_norm, here / "mine")
    return here / "mine"


def facts(mine, stage):
    return json.loads((mine / "manifest.json").read_text())["stages"][stage]["facts"]


def test_fewer_bits_make_a_smaller_ticket_and_verify_says_what_they_did(command, mine):
    before = (mine / "ticket.safetensors").stat().st_size
    assert "statistics" not in facts(mine, "verify")
    packed = command("pack", "mine", "--statistics-bits", "4")
    assert packed.code == 0 and "rounded to 4 bits of fraction" in packed.err
    assert (mine / "ticket.safetensors").stat().st_size < 0.8 * before
    lossless, _ = read_verified(mine / "search.safetensors")
    subnetwork, _ = read_verified(mine / "ticket.safetensors")
    assert subnetwork.recipe["statistics_bits"] == 4 and "statistics_bits" not in lossless.recipe
    for name, array in lossless.state.items():
        near = rounded(array, 4) if "bn" in name and array.dtype == np.float32 else array
        assert np.array_equal(subnetwork.state[name], near), name
    for one, other in zip(lossless.tensors, subnetwork.tensors, strict=True):
        assert np.array_equal(one.weights(lossless.seed), other.weights(subnetwork.seed))
    assert command("export", "mine").code == 0
    verified = command("verify", "mine")
    assert verified.code == 0 and "batch norm  rounded to 4 bits of fraction: " in verified.out
    found = facts(mine, "verify")["statistics"]
    assert found == json.loads((mine / "verify.json").read_text())["statistics"]
    assert found["bits"] == 4 and found["n"] == 364 and 0 < found["max_difference"] < 100
    assert found["top1"] == facts(mine, "verify")["torch_accuracy"] and found["lossless_top1"] > 0.1
    assert "| batch norm | rounded to 4 bits of fraction |" in (mine / "README.md").read_text()


def test_accuracy_that_rounding_lost_counts_as_lost(command, mine):
    assert command("pack", "mine", "--statistics-bits", "1").code == 0
    assert command("export", "mine").code == 0
    outcome = command("verify", "mine", "--max-accuracy-drop", "0")
    found = json.loads((mine / "verify.json").read_text())["statistics"]
    if found["top1"] < found["lossless_top1"]:
        assert outcome.code == 4 and "batch norm rounded to 1 bits of fraction" in outcome.err
    else:
        assert outcome.code == 0


def test_the_number_stays_with_the_folder_and_23_is_lossless_again(command, mine):
    before = (mine / "ticket.safetensors").read_bytes()
    assert command("pack", "mine", "--statistics-bits", "8").code == 0
    assert command("pack", "mine").err.startswith("pack    unchanged")
    assert command("pack", "mine", "--statistics-bits", "23").code == 0
    assert (mine / "ticket.safetensors").read_bytes() == before
    assert "statistics_bits" not in load_ticket(mine / "ticket.safetensors").recipe


def test_a_folder_without_its_search_is_verified_without_the_comparison(command, mine):
    assert command("pack", "mine", "--statistics-bits", "8").code == 0
    assert command("export", "mine").code == 0
    (mine / "search.safetensors").unlink()
    outcome = command("verify", "mine")
    assert outcome.code == 0 and "batch norm" not in outcome.out


@pytest.mark.parametrize("bits", ["0", "24", "-1"])
def test_numbers_of_bits_that_there_are_not_are_refused(command, mine, bits):
    outcome = command("pack", "mine", "--statistics-bits", bits)
    assert outcome.code == 2 and f"--statistics-bits {bits}: expected at least 1" in outcome.err


def test_a_file_of_weights_is_refused_for_nothing_could_say_what_rounding_did(command, here):
    (here / "weights.pt").write_bytes(b"")
    outcome = command("pack", "weights.pt", "--arch", "conv2", "--statistics-bits", "8")
    assert outcome.code == 2 and "--statistics-bits is for a run folder" in outcome.err
