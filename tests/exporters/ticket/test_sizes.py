"""Where a ticket's bytes are: all of them, each once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recycle_pipeline.exporters.ticket.coding.frames import lanes_of
from recycle_pipeline.exporters.ticket.container import opened
from recycle_pipeline.exporters.ticket.shares import sections_of, shared_in
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.exporters.ticket.writer import ticket_bytes


def test_layers_state_and_header_add_up_to_the_file(subnetwork, take_apart):
    content = ticket_bytes(subnetwork)
    sizes = sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
    assert list(sizes.layers) == ["conv", "head"]
    assert sum(sizes.layers.values()) + sizes.state + sizes.header == len(content)
    parts = take_apart(content).parts
    carried = 4 * lanes_of(parts["coded"].tobytes())
    sections = sections_of(opened(content, "mine"), shared_in(opened(content, "mine")))
    assert sum(sections.values()) == parts["coded"].nbytes - carried and min(sections.values()) >= 0
    digests = 16 * 3
    assert sizes.state == sections["state"] + carried + parts["raw"].nbytes - digests
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
