"""Where a ticket's bytes are: all of them, each once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recycle_pipeline.exporters.ticket.coding.frames import lanes_of
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.exporters.ticket.writer import ticket_bytes

CARRY = ("contexts", "masks", "moved")


def test_layers_state_and_header_add_up_to_the_file(subnetwork, take_apart):
    content = ticket_bytes(subnetwork)
    sizes = sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
    assert list(sizes.layers) == ["conv", "head"]
    assert sum(sizes.layers.values()) + sizes.state + sizes.header == len(content)
    parts = {name: array.nbytes for name, array in take_apart(content).parts.items()}
    carried = sum(
        4 * lanes_of(part.tobytes()) for name, part in take_apart(content).parts.items() if name in CARRY
    )
    digests = 32 * 3
    assert sizes.state == parts["state"] + carried + parts.get("raw", 0) - digests
    streams = sum(size for name, size in parts.items() if name not in ("state", "raw"))
    assert sum(sizes.layers.values()) == streams - carried
    assert all(taken == int(taken) > 0 for taken in sizes.layers.values())


def test_a_layer_that_keeps_none_takes_nothing_of_the_masks(make_by_hand):
    subnetwork = make_by_hand("continuous")
    conv, head = subnetwork.tensors
    empty = replace(conv, mask=np.zeros_like(conv.mask), draws=None, sources=None)
    sizes = sizes_of(ticket_bytes(replace(subnetwork, tensors=(empty, head))), ["conv", "head"])
    assert sizes.layers["conv"] < sizes.layers["head"] / 4


def test_a_ticket_of_an_earlier_version_has_parts_of_its_own_for_each_layer():
    path = Path(__file__).parents[2] / "golden" / "ticket-v1-binary-recycled.safetensors"
    content = path.read_bytes()
    names = ["conv1", "conv2", "linear1", "linear2", "linear3"]
    sizes = sizes_of(content, names)
    assert list(sizes.layers) == names and min(sizes.layers.values()) > 10
    assert sum(sizes.layers.values()) + sizes.state + sizes.header == len(content)
