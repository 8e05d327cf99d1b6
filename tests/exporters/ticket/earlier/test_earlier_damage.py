"""Versions 1 and 2 damaged, cut, or something else altogether: always CorruptArtefact, and the part."""

import io
import re

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.reader import load_ticket, parse_ticket
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault


def refused(content: bytes) -> str:
    """The message; fails if the content is accepted or another exception comes."""
    with pytest.raises(CorruptArtefact) as caught:
        parse_ticket(content, "mine.safetensors")
    return str(caught.value)


def part_of(message: str) -> str:
    sentence = r"mine\.safetensors is damaged, part (['\"])(.+?)\1: .+\. Fetch or pack it again\."
    found = re.fullmatch(sentence, message, re.S)
    assert found, message
    return found[2]


def test_any_flipped_bit_is_found_and_the_part_named(subnetwork, ticket_bytes):
    """Every bit of every byte. In a part's own bytes, that part; before them, whatever part that breaks."""
    content = ticket_bytes(subnetwork)
    start = 8 + int.from_bytes(content[:8], "little")
    names = safetensors.numpy.load(content).keys()
    assert len(content) < 4096
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            part = part_of(refused(bytes(damaged)))
            if position >= start:
                assert part in names


def test_each_part_is_named_when_it_is_damaged(subnetwork, ticket_bytes, take_apart):
    draft = take_apart(ticket_bytes(subnetwork))
    draft.content()
    draft.honest_crcs = False
    for name, array in list(draft.parts.items()):
        damaged = np.frombuffer(bytes([array.tobytes()[0] ^ 1]) + array.tobytes()[1:], array.dtype)
        draft.parts[name] = damaged.reshape(array.shape)
        message = refused(draft.content())
        assert part_of(message) == name
        assert "CRC-32" in message
        draft.parts[name] = array


def test_a_ticket_cut_anywhere_is_refused(subnetwork, ticket_bytes):
    content = ticket_bytes(subnetwork)
    for length in range(len(content)):
        assert part_of(refused(content[:length])) == "container"


@pytest.mark.parametrize("more", [b"\0", b" ", b"\n", b"}", b"x" * 1000])
def test_bytes_after_the_end_are_refused(subnetwork, ticket_bytes, more):
    assert part_of(refused(ticket_bytes(subnetwork) + more)) == "container"


def test_two_tickets_in_a_row_are_refused(subnetwork, ticket_bytes):
    assert part_of(refused(ticket_bytes(subnetwork) * 2)) == "container"


def _png() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    return stream.getvalue()


def _container(head: bytes, data: bytes = b"") -> bytes:
    return len(head).to_bytes(8, "little") + head + data


FOREIGN = {
    "empty": b"",
    "eight zeros": bytes(8),
    "text": b"seed = 7\n",
    "png": _png(),
    "zip": b"PK\x03\x04" + bytes(60),
    "header of 2**64 bytes": b"\xff" * 16,
    "header that is a list": _container(b"[]"),
    "header that nests": _container(b"[" * 100_000),
    "header that is not utf-8": _container(b'{"\xff":1}'),
    "offsets beyond the end": _container(b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}', b"x"),
    "dtype that numpy lacks": _container(b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', b"xx"),
    "shape that overflows": _container(
        b'{"a":{"dtype":"U8","shape":[0,9223372036854775807,2],"data_offsets":[0,0]}}'
    ),
    "no tensors": safetensors.numpy.save({}),
    "safetensors of another tool": safetensors.numpy.save({"w": np.zeros(3, np.float32)}, {"format": "pt"}),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_ticket_is_refused(content):
    assert part_of(refused(content)) == "container"


def test_safetensors_of_another_tool_are_called_that():
    assert "a safetensors file, but not a ticket" in refused(FOREIGN["safetensors of another tool"])


def test_null_metadata_are_refused():
    assert part_of(refused(_container(b'{"__metadata__":null}'))) == "container"


OUTER = {
    "not json": "ticket",
    "empty": "",
    "null": "null",
    "number": "7",
    "list": "[]",
    "text": '"header"',
    "no header": '{"sha256":""}',
    "no digest": '{"header":{}}',
    "digest of another": '{"sha256":"00","header":{}}',
    "digest no text": '{"sha256":null,"header":{}}',
    "not a number": '{"sha256":"00","header":{"prune":NaN}}',
    "infinity": '{"sha256":"00","header":{"prune":Infinity}}',
    "too large a number": '{"sha256":"00","header":{"prune":1e999}}',
    "too long a number": '{"sha256":"00","header":{"prune":' + "9" * 5000 + "}}",
    "deep list": "[" * 100_000,
    "deep header": '{"sha256":"00","header":' + "[" * 50_000 + "]" * 50_000 + "}",
    "deep object": '{"header":' * 50_000 + "0" + "}" * 50_000,
}


@pytest.mark.parametrize("outer", OUTER.values(), ids=OUTER)
def test_a_header_that_is_not_what_json_should_be_is_refused(binary, outer):
    binary.metadata = {layout.METADATA_KEY: outer}
    assert part_of(refused(binary.content())) == "header"


@pytest.mark.parametrize("header", [None, [], "text", 7])
def test_a_header_that_is_no_object_is_refused(binary, header):
    binary.header = header
    assert part_of(refused(binary.content())) == "header"


@pytest.mark.parametrize(
    ("written", "respelled"),
    [
        ("0.30000000000000004", "0.30000000000000005"),
        ("1e-05", "1E-05"),
        ("\\u00e9", "\\u00E9"),
        ('{"header"', '{ "header"'),
        ('"version":1', '"version":2,"version":1'),
        ('"sha256"', '"sha1":0,"sha256"'),
    ],
)
def test_a_header_that_says_the_same_in_other_letters_is_refused(binary, written, respelled):
    """One flipped bit can make one of the first three: a ticket has one spelling."""
    binary.header.update(mean=[0.30000000000000004], std=[1e-05], classes=["é", "ö"])
    binary.content()
    outer = binary.outer()
    assert written in outer
    binary.metadata = {layout.METADATA_KEY: outer.replace(written, respelled)}
    assert part_of(refused(binary.content())) == "header"


def test_a_changed_header_is_said_not_to_match_its_digest(binary):
    binary.content()
    outer = binary.outer()
    assert outer.count('"seed":9223372036854775807') == 1
    binary.metadata = {layout.METADATA_KEY: outer.replace('"seed":9223372036854775807', '"seed":7')}
    message = refused(binary.content())
    assert part_of(message) == "header"
    assert "its SHA-256 does not match" in message


def test_a_missing_file_is_a_usage_fault_and_the_path_is_named(tmp_path):
    with pytest.raises(UsageFault, match=r"no ticket at .*nowhere\.safetensors: expected"):
        load_ticket(tmp_path / "nowhere.safetensors")


def test_a_directory_is_a_usage_fault(tmp_path):
    with pytest.raises(UsageFault, match="no ticket at"):
        load_ticket(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(_png())
    with pytest.raises(CorruptArtefact, match=r"mine\.safetensors is damaged, part 'container'") as caught:
        load_ticket(tmp_path / "mine.safetensors")
    assert caught.value.exit_code == 6
