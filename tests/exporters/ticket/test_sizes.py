"""Where a ticket's bytes are: all of them, each once."""

from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.exporters.ticket.writer import ticket_bytes


def test_layers_state_and_header_add_up_to_the_file(subnetwork):
    content = ticket_bytes(subnetwork)
    sizes = sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
    assert list(sizes.layers) == ["conv", "head"]
    assert sum(sizes.layers.values()) + sizes.state + sizes.header == len(content)
    assert sizes.state == sum(array.nbytes for array in subnetwork.state.values())


def test_a_layer_takes_its_mask_and_its_provenance(make_by_hand, take_apart):
    for kind, parts in (("binary", ("mask", "flips")), ("continuous", ("mask", "draws", "sources"))):
        content = ticket_bytes(make_by_hand(kind))
        found = take_apart(content).parts
        sizes = sizes_of(content, ["conv", "head"])
        for layer in ("conv", "head"):
            assert sizes.layers[layer] == sum(found[f"{part}/{layer}"].nbytes for part in parts)
