"""Tickets of version 3 that are in order, damaged, or lie: read as before, or refused and the part named."""

import copy
import hashlib
import zlib

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.coding.frames import WIDE, encode_symbols
from recycle_pipeline.exporters.ticket.coding.tables import of_counts
from recycle_pipeline.exporters.ticket.container import metadata_of
from recycle_pipeline.exporters.ticket.faults import DigestFault, HeaderFault, PartFault, TicketFault
from recycle_pipeline.exporters.ticket.reader import parse_ticket, parse_verified, stored_digests
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.models.subnetwork import array_digest

LIVES = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def content_of(header, parts):
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    part = coder.compress(layout.canonical_json(header).encode()) + coder.flush()
    all_parts = {"header": np.frombuffer(part, np.uint8)} | parts
    head = {"version": 3, "sha256": hashlib.sha256(part).hexdigest()}
    return safetensors.numpy.save(all_parts, metadata_of(head))


@pytest.fixture(params=["binary", "continuous"])
def ticket(request, make_by_hand, drafted_version3):
    """Header and parts."""
    return drafted_version3(make_by_hand(request.param))


def refused(header, parts, match, kind=TicketFault):
    with pytest.raises(kind, match=match) as caught:
        parse_verified(content_of(header, parts), "mine")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_it_is_read_and_its_sizes_add_up(kind, make_by_hand, drafted_version3, assert_same, tmp_path):
    subnetwork = make_by_hand(kind)
    content = content_of(*drafted_version3(subnetwork))
    assert_same(parse_ticket(content, "mine"), subnetwork)
    digests = {name: array_digest(array) for name, array in subnetwork.arrays().items()}
    (tmp_path / "t").write_bytes(content)
    assert stored_digests(tmp_path / "t") == digests
    sizes = sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
    assert sum(sizes.layers.values()) + sizes.state + sizes.header == len(content)


def test_any_changed_byte_is_found(ticket):
    content = content_of(*ticket)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(TicketFault):
            parse_ticket(bytes(damaged), "mine")


def test_a_ticket_cut_anywhere_is_refused(ticket):
    content = content_of(*ticket)
    for length in range(0, len(content), 7):
        with pytest.raises(TicketFault):
            parse_ticket(content[:length], "mine")


def paths(value, so_far=()):
    """Every place in nested JSON."""
    yield so_far
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, (*so_far, key))


VALUES = st.integers(-2, 300) | st.sampled_from(
    [None, True, "", "a", 0.5, [], {}, [0], 2**31, 2**64, 10**400]
)


@LIVES
@given(data=st.data())
def test_any_field_may_hold_anything_and_is_refused_or_read(ticket, data):
    header, parts = copy.deepcopy(ticket[0]), ticket[1]
    *before, last = data.draw(st.sampled_from([path for path in paths(header) if path]))
    place = header
    for key in before:
        place = place[key]
    place[last] = data.draw(VALUES)
    try:
        parse_ticket(content_of(header, parts), "mine")
    except TicketFault as fault:
        assert fault.exit_code == 6


def test_counts_that_do_not_add_up_are_refused(ticket):
    header, parts = ticket
    for part in ("masks", "moved"):
        for place in range(4):
            for off in (-1, 1, 8):
                numbers = list(header[part])
                numbers[place] += off
                refused(header | {part: numbers}, parts, f"part '{part}'", PartFault)


def test_a_digest_of_another_weight_or_state_is_found(ticket):
    header, parts = ticket
    refused(header | {"state_sha256": "0" * 64}, parts, "part 'state': the rebuilt", DigestFault)
    header["layers"][1]["sha256"] = "0" * 64
    refused(header, parts, r"part 'head\.weight': the rebuilt array is not", DigestFault)


def test_what_is_of_version_4_is_refused(ticket):
    header, parts = ticket
    ghost = parts | {"raw": parts["masks"]}
    refused(header, ghost, "part 'raw': not announced by the header", PartFault)
    for key in ("context", "moved"):
        layers = copy.deepcopy(header["layers"])
        layers[0][key] = [0, 0, 0, 0, 8]
        refused(header | {"layers": layers}, parts, "8 is not an integer from 0 to 7", HeaderFault)
    state = copy.deepcopy(header["state"])
    state[0][1][0].append(0)
    refused(header | {"state": state}, parts, "part 'state': .*list of 2 to 2 entries", PartFault)
    for layer in header["layers"]:
        del layer["sha256"]
    refused(header, parts, "'sha256' is missing", HeaderFault)


def test_a_lane_that_carries_something_is_refused(ticket):
    """As in version 4: here it would be lost."""
    header, parts = ticket
    count = header["tallies"]["tables"][0]
    frame = encode_symbols([(np.zeros(count, np.uint8), of_counts([count]))], bytearray(b"carried!"), WIDE)
    parts = parts | {"contexts": np.frombuffer(frame, np.uint8)}
    refused(header, parts, "part 'contexts': a lane does not end where encoding begins", PartFault)
