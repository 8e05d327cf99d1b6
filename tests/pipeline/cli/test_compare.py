"""`compare`: the table, the JSON, and what it refuses."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from recycle_pipeline.evaluators.overlap import Overlap
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.pipeline.cli.compare import _table

HEADINGS = "layer   kept A kept B equal differ share Jaccard chance  signs"
SAME = "conv1       58     58   all      0 0.00%  1.0000 0.0530 100.0%"


@pytest.fixture
def other(run_copy, here):
    """The ticket of `mine` with conv1's last kept weight dropped and its first pruned one kept."""
    subnetwork = load_ticket(run_copy / "ticket.safetensors")
    first = subnetwork.tensors[0]
    mask = first.mask.copy().reshape(-1)
    mask[np.flatnonzero(mask)[-1]], mask[np.flatnonzero(~mask)[0]] = False, True
    changed = dataclasses.replace(first, mask=mask.reshape(first.mask.shape))
    tensors = (changed, *subnetwork.tensors[1:])
    write_ticket(dataclasses.replace(subnetwork, tensors=tensors), here / "other.safetensors")
    return "other.safetensors"


def test_a_run_is_equal_to_its_own_ticket(command, run_copy):
    outcome = command("compare", "mine", "mine/ticket.safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.rstrip() for line in outcome.out.splitlines()]
    what = "mine/ticket.safetensors: conv2, binary, seed 0, 0.9 removed per layer"
    assert lines[:4] == [f"A  {what}", f"B  {what}", HEADINGS, SAME]
    assert lines[-2].split()[:4] == ["total", "36.8k", "36.8k", "all"]
    assert lines[-1] == "other arrays (batch-norm statistics, biases): 0 of 0 equal"


def test_what_differs_is_counted_and_the_exit_code_stays_0(command, run_copy, other):
    outcome = command("compare", "mine", other)
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split() for line in outcome.out.splitlines()[3:]]
    assert rows[0] == ["conv1", "58", "58", "no", "2", "0.35%", "0.9661", "0.0530", "100.0%"]
    assert [row[3] for row in rows[1:5]] == ["all"] * 4 and rows[5][3] == "no"


def test_as_json_it_is_json_alone_with_every_number(command, run_copy, other):
    outcome = command("compare", "mine", other, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    facts = json.loads(outcome.out)
    assert facts["a"] == {
        "ticket": "mine/ticket.safetensors",
        "arch": "conv2",
        "options": {},
        "subnetwork": "binary",
        "seed": 0,
        "prune": 0.9,
        "scope": "layer",
    }
    assert facts["b"] == facts["a"] | {"ticket": "other.safetensors"} and facts["differing_state"] == []
    by_chance = 58 * 58 / 576
    assert facts["layers"][0] == {
        "name": "conv1",
        "weights": 576,
        "kept_a": 58,
        "kept_b": 58,
        "kept_by_both": 57,
        "masks_equal": False,
        "weights_equal": False,
        "hamming": 2,
        "hamming_share": 2 / 576,
        "jaccard": 57 / 59,
        "jaccard_by_chance": by_chance / (116 - by_chance),
        "sign_agreement": 1.0,
    }
    assert [layer["weights_equal"] for layer in facts["layers"][1:]] == [True] * 4
    assert (facts["total"]["hamming"], facts["total"]["weights"]) == (2, 367_680)


def test_a_layers_name_is_shown_as_it_is_and_nothing_kept_has_no_index(command, run_copy, here):
    subnetwork = load_ticket(run_copy / "ticket.safetensors")
    first = subnetwork.tensors[0]
    empty = dataclasses.replace(first, name="[/x]", mask=np.zeros_like(first.mask), flips=None)
    write_ticket(dataclasses.replace(subnetwork, tensors=(empty,)), here / "e.safetensors")
    row = command("compare", "e.safetensors", "e.safetensors").out.splitlines()[3]
    assert row.split() == ["[/x]", "0", "0", "all", "0", "0.00%", "none", "none", "none"]


def test_the_table_of_a_resnet_fits_80_columns():
    row = Overlap("layer4.0.shortcut.conv", 2_359_296, 235_930, 235_930, 0, 23_593.0, 0, False)
    rows = [row, dataclasses.replace(row, both=235_930, same_sign=235_930)]
    out = Console(file=io.StringIO(), width=80, highlight=False)
    out.print(_table(rows))
    assert len(out.file.getvalue().splitlines()) == 3
    first = out.file.getvalue().splitlines()[1].split()
    assert first[:5] == ["layer4.0.shortcut.conv", "235.9k", "235.9k", "no", "471.9k"]
    assert first[5:] == ["20.00%", "0.0000", "0.0526", "none"]


def test_another_network_is_refused_by_its_first_difference(command, run_copy, here, tree):
    subnetwork = load_ticket(run_copy / "ticket.safetensors")
    fewer = dataclasses.replace(subnetwork, tensors=subnetwork.tensors[1:])
    write_ticket(fewer, here / "fewer.safetensors")
    before = tree()
    outcome = command("compare", "mine", "fewer.safetensors")
    assert (outcome.code, outcome.out) == (2, "") and tree() == before
    assert outcome.err == (
        "Error: masked layer 1 is 'conv1' in A and 'conv2' in B: expected tickets of one architecture, "
        "width, image size and number of classes\n"
    )


@pytest.mark.parametrize("line", ["mine nowhere", "nowhere mine"])
def test_a_ticket_that_is_not_there_is_exit_2(command, run_copy, line):
    outcome = command("compare", *line.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: no ticket at nowhere: expected a file that ")


@pytest.mark.parametrize("places", [("mine", "bad"), ("bad", "mine")])
def test_a_damaged_ticket_is_exit_6_and_says_which(command, run_copy, here, places):
    content = bytearray((run_copy / "ticket.safetensors").read_bytes())
    content[-1] ^= 1
    (here / "bad").write_bytes(content)
    outcome = command("compare", *places)
    assert (outcome.code, outcome.out) == (6, "")
    assert outcome.err.startswith("Error: bad is damaged, part ")
