"""Files that are damaged, cut, or something else altogether: always a TicketFault that names the part."""

import hashlib
import json
import re
import zlib

import numpy as np
import pytest
import safetensors.numpy

from recycle_pipeline.exporters.ticket.digests import digests_of
from recycle_pipeline.exporters.ticket.faults import (
    DigestFault,
    HeaderFault,
    LaterVersion,
    LimitFault,
    NotATicket,
    PartFault,
    TicketFault,
)
from recycle_pipeline.exporters.ticket.reader import load_ticket, parse_ticket, read_verified, stored_digests
from recycle_pipeline.exporters.ticket.writer import ticket_bytes, write_ticket
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault

pytestmark = pytest.mark.usefixtures("either_loops")


def refused(content, kind=TicketFault):
    """The fault; fails if the content is accepted or another exception comes."""
    with pytest.raises(kind) as caught:
        parse_ticket(content, "mine.safetensors")
    sentence = r"mine\.safetensors is damaged, part (['\"])(.+?)\1: .+\. Fetch or pack it again\."
    found = re.fullmatch(sentence, str(caught.value), re.S)
    assert found and found[2] == repr(caught.value.part)[1:-1]
    return caught.value


def test_any_flipped_bit_is_found_and_the_part_named(subnetwork):
    """Every bit of every byte. In a part's own bytes, that part; before them, whatever part that breaks."""
    content = ticket_bytes(subnetwork)
    start = 8 + int.from_bytes(content[:8], "little")
    assert len(content) < 4096
    places = _places(content)
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            fault = refused(bytes(damaged))
            if position >= start:
                assert fault.part == places[position - start]


def _places(content):
    """Of each byte after safetensors' table, the name of its part."""
    size = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + size])
    found = [""] * (len(content) - 8 - size)
    for name, entry in table.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            found[first:last] = [name] * (last - first)
    assert all(found)
    return found


def test_a_ticket_cut_anywhere_is_refused(subnetwork):
    content = ticket_bytes(subnetwork)
    for length in range(len(content)):
        assert refused(content[:length], NotATicket).part == "container"


@pytest.mark.parametrize("more", [b"\0", b" ", b"}", b"x" * 1000])
def test_bytes_after_the_end_are_refused(subnetwork, more):
    assert refused(ticket_bytes(subnetwork) + more, NotATicket).part == "container"


@pytest.mark.parametrize("place", ["length", "crc", "lanes", "first word", "last word", "longer", "shorter"])
def test_a_part_that_changed_is_named(subnetwork, take_apart, place):
    draft = take_apart(ticket_bytes(subnetwork))
    offset = {"length": 0, "crc": 4, "lanes": 8, "first word": 12, "last word": -1}.get(place)
    for name, array in list(draft.parts.items()):
        if offset is not None:
            draft.parts[name] = array.copy()
            draft.parts[name][min(offset, array.nbytes - 1)] ^= 1
        else:
            draft.parts[name] = np.append(array, np.uint8(0)) if place == "longer" else array[:-1]
        assert refused(draft.content(), PartFault).part == name
        draft.parts[name] = array


def test_a_part_in_place_of_another_is_named(subnetwork, take_apart):
    """Its CRC is in order: what it holds is not what the header says."""
    draft = take_apart(ticket_bytes(subnetwork))
    for name, array in list(draft.parts.items()):
        for other, content in draft.parts.items():
            if other == name or np.array_equal(content, array):
                continue
            assert refused(type(draft)(draft.header, draft.parts | {name: content}).content()).part == name


@pytest.mark.parametrize("kind", ["float32", "int8", "two sides"])
def test_a_part_that_is_no_row_of_bytes_is_refused(binary, kind):
    array = binary.parts["coded"]
    binary.parts["coded"] = {
        "float32": array[:4].view(np.float32),
        "int8": array.view(np.int8),
        "two sides": array[None],
    }[kind]
    fault = refused(binary.content(), PartFault)
    assert fault.part == "coded" and "expected rows of uint8" in str(fault)


@pytest.mark.parametrize("part", ["coded", "elsewhere", "sources"])
def test_a_missing_part_and_one_too_many_are_named(continuous, part):
    array = continuous.parts.pop(part)
    fault = refused(continuous.content(), PartFault)
    assert fault.part == part and "missing" in str(fault)
    continuous.parts |= {part: array, "ghost": array}
    fault = refused(continuous.content(), PartFault)
    assert fault.part == "ghost" and "not announced by the header" in str(fault)


def test_parts_that_overlap_are_refused(binary):
    content = binary.content()
    size = int.from_bytes(content[:8], "little")
    table = content[8 : 8 + size].decode()
    offsets = re.findall(r'"data_offsets":\[(\d+),(\d+)\]', table)
    for first, last in offsets[1:]:
        moved = f'"data_offsets":[{int(first) - 1},{last}]'.encode()
        other = table.encode().replace(f'"data_offsets":[{first},{last}]'.encode(), moved)
        other = other[:size].ljust(size)
        assert refused(content[:8] + other + content[8 + size :], NotATicket).part == "container"


@pytest.mark.parametrize("version", [5, 17, 10**9])
def test_a_later_version_is_refused_by_its_number(binary, version):
    binary.head = {"version": version, "what": "ever"}
    with pytest.raises(
        LaterVersion, match=rf"^mine is a ticket of version {version}; .* version 4: install a"
    ):
        parse_ticket(binary.content(), "mine")


def test_readers_of_version_2_and_3_refuse_version_4_by_its_number(binary):
    """They read `header` of the metadata's JSON, its SHA-256 and its version first: the form stays."""
    content = binary.content()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    outer = json.loads(metadata["recycle_ticket"])
    canonical = json.dumps(outer["header"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert hashlib.sha256(canonical.encode()).hexdigest() == outer["sha256"]
    assert outer["header"]["version"] == 4


@pytest.mark.parametrize(
    "head",
    [
        {"version": 4},
        {"version": 4, "sha256": "0" * 64, "more": 1},
        {"version": 4, "sha256": None},
        {"version": 4, "sha256": "0" * 64},
        {"version": 0, "sha256": "0" * 64},
        {"version": "3"},
        {"version": True},
        {"version": 4.0},
        [4],
    ],
    ids=str,
)
def test_metadata_that_are_none_are_refused(binary, head):
    binary.head = head
    assert refused(binary.content(), HeaderFault).part == "header"


def test_headers_that_are_not_deflated_json_are_refused(binary):
    right = binary.content()
    good = safetensors.numpy.load(right)["header"].tobytes()
    wrong = {
        "not deflated": b"\xff" * 20,
        "unreadable": _deflated(b"[" * 100_000),
        "canonical": _deflated(zlib.decompress(good, -15) + b" "),
        "a list": _deflated(b"[]"),
        "ends": good + b"\0",
        "unreadable ": _deflated(b'{"a": NaN'),
    }
    for message, part in wrong.items():
        binary.deflated = part
        fault = refused(binary.content(), HeaderFault)
        assert fault.part == "header" and message.strip() in str(fault)
    binary.deflated = good[:-1]
    refused(binary.content(), HeaderFault)


def test_a_header_that_inflates_without_end_is_refused_at_its_limit(binary):
    binary.deflated = _deflated(bytes(1 << 27))
    assert len(binary.deflated) < 200_000
    assert "more than 4194304 bytes" in str(refused(binary.content(), LimitFault))


def _deflated(content):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(content) + coder.flush()


def test_a_rebuilt_array_that_differs_is_named(subnetwork, tmp_path):
    digests = digests_of(subnetwork.weights(), subnetwork.state)
    write_ticket(subnetwork, tmp_path / "t", digests | {"head.weight": "0" * 32})
    load_ticket(tmp_path / "t")
    with pytest.raises(DigestFault, match=r"part 'head\.weight': the rebuilt array is not"):
        read_verified(tmp_path / "t")
    write_ticket(subnetwork, tmp_path / "t", digests | {"bn.running_mean": "0" * 64})
    for read in (load_ticket, read_verified, stored_digests):
        with pytest.raises(DigestFault, match="part 'state'"):
            read(tmp_path / "t")


def test_all_faults_leave_with_the_code_of_a_corrupt_file():
    faults = (NotATicket, HeaderFault, PartFault, LimitFault, DigestFault, LaterVersion)
    assert all(issubclass(fault, CorruptArtefact) and fault.exit_code == 6 for fault in faults)


def test_digests_of_a_search_that_computed_something_else_are_caught(subnetwork, tmp_path):
    digests = digests_of(subnetwork.weights(), subnetwork.state) | {"conv.weight": "a" * 32}
    write_ticket(subnetwork, tmp_path / "t", digests)
    assert stored_digests(tmp_path / "t") == digests
    with pytest.raises(DigestFault, match=r"part 'conv\.weight'"):
        read_verified(tmp_path / "t")


def test_a_missing_file_is_a_usage_fault_and_the_path_is_named(tmp_path):
    with pytest.raises(UsageFault, match=r"no ticket at .*nowhere\.safetensors: expected"):
        load_ticket(tmp_path / "nowhere.safetensors")
