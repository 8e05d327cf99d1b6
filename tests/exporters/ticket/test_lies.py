"""Well-formed tickets that lie: SHA-256 and CRCs are in order, so that the check behind them fires."""

import copy
import hashlib
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.coding.frames import content_of, encode_symbols, framed, lanes_of
from recycle_pipeline.exporters.ticket.coding.tables import of_counts
from recycle_pipeline.exporters.ticket.faults import (
    DigestFault,
    HeaderFault,
    LimitFault,
    PartFault,
    TicketFault,
)
from recycle_pipeline.exporters.ticket.reader import parse_ticket
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault

HUGE = 10**400  # an integer that no float holds
LIVES = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(draft, match, kind=TicketFault):
    with pytest.raises(kind, match=match) as caught:
        parse_ticket(draft.content(), "mine")
    return caught.value


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_the_tickets_that_the_lies_start_from_are_read(request, kind):
    """Or the refusals below would prove nothing."""
    assert parse_ticket(request.getfixturevalue(kind).content(), "mine").kind == kind


def paths(value, so_far=()):
    """Every place in nested JSON."""
    yield so_far
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, (*so_far, key))


def put(header, path, value):
    changed = copy.deepcopy(header)
    if not path:
        return value
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.integers(-2, 300) | st.sampled_from([2**30, 2**31, 2**32, 2**53, 2**63, 2**64, HUGE, 0.5, 1e300])


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@LIVES
@given(data=st.data())
def test_any_field_may_hold_anything_and_is_refused_or_read(request, kind, data):
    """Nothing but a TicketFault, and never more memory than the ticket's own."""
    draft = request.getfixturevalue(kind)
    header = draft.header
    path = data.draw(st.sampled_from(list(paths(header))))
    value = data.draw(NUMBERS | JSON)
    try:
        parse_ticket(type(draft)(put(header, path, value), draft.parts).content(), "mine")
    except TicketFault as fault:
        assert fault.exit_code == 6


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_every_field_is_needed_and_no_other_is_taken(request, kind):
    draft = request.getfixturevalue(kind)
    for path in list(paths(draft.header)):
        place = draft.header
        for key in path[:-1]:
            place = place[key]
        if not path or not isinstance(place, dict) or path[0] == "recipe":
            continue
        value = place.pop(path[-1])
        refused(draft, "is missing|do not name|part 'header'", HeaderFault)
        place[path[-1]] = value
    for place in (draft.header, draft.header["layers"][0], draft.header["tallies"]):
        place["more"] = 1
        refused(draft, "'more' is no field", HeaderFault)
        del place["more"]


FIELDS = [
    *[("seed", v) for v in (-1, 2**63, 1.5, "7", None, [7], True)],
    *[("subnetwork", v) for v in ("ternary", None, ["binary"])],
    *[("scope", v) for v in ("channel", None, {})],
    *[("prune", v) for v in (None, "much", [], HUGE, "nan", True, 1.5, -0.1)],
    *[("classes", v) for v in (None, 2, [0, 1], "ny", {"no": 0}, [])],
    *[("arch", v) for v in (None, ["conv2"], "a" * 1025)],
    *[("channels", v) for v in (None, "one", [1], 1.0, True, 0, -1, 4097)],
    *[("image_size", v) for v in (None, "4", 4.5, 0, -4, 10**9, HUGE)],
    *[("mean", v) for v in (None, 0.5, ["half"], [HUGE], [True], [], [0.5, 0.5])],
    *[("std", v) for v in (None, [0.5] * 3, [0.0], [-0.5], [1e-60])],
    *[("layers", v) for v in (None, 2, {"conv": {}}, "conv", [], [None], [[]], [{}])],
    *[("generator", v) for v in (None, "splitmix64/2", "philox")],
    *[("recipe", v) for v in (None, [], {"a": []}, {"a": None})],
    *[("tallies", v) for v in (None, {}, {"tables": [], "levels": [], "more": []})],
    *[("masks", v) for v in (None, 7, [1], [1, 2, 3], ["a"] * 4, [1, 2, 2, 0, 1, 2, 2, 0], [256, 1, 1, 0])],
    *[("masks", v) for v in ([0, 10**12, 1, 0], [0, 5, 6, 0], [0, 5, 0, 0], [-1, 5, 1, 0], [0, 123, 12, 12])],
    *[("state", v) for v in (None, 7, [["float32"]], [["float32", []]], [["object", [["a", [1]]]]])],
    *[("state", v) for v in ([["float32", [["a", [2**40]]]]], [["float32", [["a", [-1]]]]])],
    *[("state", [["float32", [["a", [1]], ["a", [1]]]]]), ("state", [["float32", [["a" * 1025, [1]]]]])],
    *[("planes", v) for v in (None, [], [[]], [[1]] * 12, [[0.5]] * 12)],
    *[("options", v) for v in (None, {}, {"width": 1.0}, {"width": 2}, {"width": 65.0}, {"depth": 3})],
]


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=lambda v: repr(v)[:24])
def test_a_field_that_cannot_be_is_refused(binary, field, value):
    binary.header[field] = value
    refused(binary, "mine is damaged, part '(header|conv|masks|state|raw)'")


LAYER_FIELDS = [
    *[("name", v) for v in (5, None, "head", "n" * 1025)],
    *[("shape", v) for v in (None, 27, [], [0, 27], [-3, 1, -3, 3], [24], [1] * 9 + [27], ["3", 9], [27.0])],
    *[("kept", v) for v in (None, "11", -1, 0, 28, True)],
    *[("init", v) for v in ("xavier", None, ["kaiming_normal"])],
    *[
        (f, v)
        for f in ("scale", "gain")
        for v in ("", "3f8", "3f80000g", 1.0, [], "7fc00000", "bf800000", "3F800000")
    ],
    *[("scale", None), ("scale", "00000000"), ("gain", None)],
    *[
        ("context", v)
        for v in (None, [], [0] * 4, [0, 8, 0, 0, 0], [5, 4, 0, 0, 0], [0, 0, 8, 0, 0], [0, 0, 0, 0, 16])
    ],
    *[("context", v) for v in ([0, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 7, 0, 7, 0], [0.0] * 5, ["0"] * 5)],
    *[("moved", v) for v in (None, [], [0, 7, 0, 7, 0])],
]


@pytest.mark.parametrize(("field", "value"), LAYER_FIELDS, ids=lambda v: repr(v)[:24])
def test_a_layer_that_cannot_be_is_refused(binary, field, value):
    binary.header["layers"][0][field] = value
    refused(binary, "mine is damaged, part '(header|conv|head|contexts|masks|moved)'")


@pytest.mark.parametrize("off", [-1, 1])
def test_a_kept_count_that_is_off_is_refused(subnetwork, take_apart, off):
    draft = take_apart(ticket_bytes(subnetwork))
    draft.header["layers"][0]["kept"] += off
    kept = subnetwork.tensors[0].kept
    # One fewer is too few for the bits of what moved already.
    said = rf"{kept} weights kept of 'conv', the header says {kept + off}"
    refused(draft, said if off > 0 else f"{said}|part 'moved': .* is not an integer", PartFault)


def test_counts_that_do_not_add_up_are_refused(binary):
    masks = list(binary.header["masks"])
    for place, number in enumerate(masks):
        for off in (-1, 1, 8):
            binary.header["masks"] = [*masks[:place], number + off, *masks[place + 1 :]]
            refused(binary, "part '(masks|coded)'", PartFault)


@pytest.mark.parametrize("nothing", ["", {}, 0, False, None], ids=repr)
def test_what_is_false_but_no_list_is_no_tally(binary, continuous, nothing):
    """Found by fuzzing: it passed for an empty one."""
    for draft, planes in ((binary, binary.header["planes"]), (continuous, continuous.header["planes"])):
        planes[planes.index([])] = nothing
        refused(draft, "part 'state': .* where a list", PartFault)
        planes[planes.index(nothing)] = []
    planes = continuous.header["sources"]["planes"]
    for place in range(len(planes)):
        continuous.header["sources"]["planes"] = [*planes[:place], nothing, *planes[place + 1 :]]
        refused(continuous, "part 'sources'", PartFault)


def test_tallies_of_nothing_and_of_too_many_are_refused(binary):
    for tally in ([0], [1, 0], [10**9]):
        binary.header["planes"] = [tally] * len(binary.header["planes"])
        refused(binary, "part 'state'", PartFault)
    binary.header["tallies"]["levels"] = [0]
    refused(binary, "part 'contexts': a tally that ends with 0", PartFault)


def test_a_continuous_ticket_that_says_it_is_binary_is_refused(binary, continuous):
    binary.header["subnetwork"], continuous.header["subnetwork"] = "continuous", "binary"
    for draft in (binary, continuous):
        refused(draft, "part 'conv': a binary subnetwork has gains, a continuous one has none", HeaderFault)


def test_two_layers_of_one_name_and_state_in_place_of_a_weight_are_refused(binary):
    binary.header["state"][0][1][0][0] = "head.weight"
    refused(binary, "part 'head': its weight is of the state, too", HeaderFault)
    binary.header["layers"][1]["name"] = "conv"
    refused(binary, "part 'conv': 2 layers have this name", HeaderFault)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@LIVES
@given(data=st.data())
def test_any_content_of_a_part_is_refused_or_read(request, kind, data):
    draft = request.getfixturevalue(kind)
    part = data.draw(st.sampled_from(sorted(draft.parts)))
    right = content_of(draft.parts[part].tobytes())
    place = data.draw(st.integers(0, len(right)))
    more = data.draw(st.binary(max_size=12))
    cut = data.draw(st.integers(0, 12))
    content = framed(right[:place] + more + right[place + cut :])
    parts = draft.parts | {part: np.frombuffer(content, np.uint8)}
    try:
        parse_ticket(type(draft)(draft.header, parts).content(), "mine")
    except (PartFault, DigestFault) as fault:
        assert fault.part == part or part in ("coded", "elsewhere", "raw")


# --- what version 4 added --------------------------------------------------------------------------


def test_raw_bytes_that_are_too_few_too_many_or_none_are_refused(binary):
    raw = content_of(binary.parts["raw"].tobytes())
    for content, match in (
        (raw[:-1], "part 'raw': .* raw bytes where more are needed"),
        (raw + b"\0", "part 'raw': raw bytes are left over"),
        (b"", "part 'raw': it is empty"),
    ):
        binary.parts["raw"] = np.frombuffer(framed(content), np.uint8)
        refused(binary, match, PartFault)
    del binary.parts["raw"]
    refused(binary, "part 'raw': .* raw bytes where more are needed", PartFault)


def test_the_state_that_raw_bytes_give_is_compared_with_its_digest(binary):
    raw = bytearray(content_of(binary.parts["raw"].tobytes()))
    raw[-1] ^= 1
    binary.parts["raw"] = np.frombuffer(framed(bytes(raw)), np.uint8)
    refused(binary, "part 'state': the rebuilt arrays are not those", DigestFault)


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([["a", [9]], ["b", [9], 1]], "1 is not an integer from 0 to 0"),
        ([["a", [9], 0], ["b", [9]]], "0 is not an integer from 0 to -1"),
        ([["a", [9]], ["b", [9], None]], "None is not an integer"),
        ([["a", [9]], ["b", [9], False]], "False is not an integer"),
        ([["a", [9]], ["b", [9], 0, 0]], "list of 2 to 3 entries"),
        ([["a", [9]], ["b", [8], 0]], "'b' of 8 numbers cannot repeat 'a' of 9"),
        ([["a", [9]], ["b", [9], 0], ["c", [9], 1]], "'c' of 9 numbers cannot repeat 'b' of 9"),
        ([["a", [9]], ["b", [9], 0], ["c", [9], 0]], "'a' is repeated 2 times, once is allowed"),
        ([["a", [9]], ["a", [9], 0]], "two arrays are called 'a'"),
        ([["a", [2**28 - 1]], ["b", [2**28 - 1], 0]], "536870910 numbers in 2 arrays are more"),
    ],
)
def test_an_array_that_repeats_none_or_too_much_is_refused(binary, entries, match):
    """What a file makes a reader take stays within twice of what it codes."""
    binary.header["state"] = [["uint8", entries]]
    binary.header["planes"] = [[]]
    refused(binary, f"part 'state': .*{match}", PartFault)


def test_lanes_that_carry_something_in_vain_are_refused(make_by_hand, take_apart):
    """Without a state three digests are all there is; what lanes have room for beyond them is 0."""
    draft = take_apart(ticket_bytes(replace(make_by_hand("binary"), state={})))
    digests = content_of(draft.parts["raw"].tobytes())
    for more in (b"\0", b"\1"):
        draft.parts["raw"] = np.frombuffer(framed(digests + more), np.uint8)
        refused(draft, "part 'raw': raw bytes are left over", PartFault)


def test_tallies_of_sources_are_one_for_each_plane(continuous):
    planes = continuous.header["sources"]["planes"]
    for other in (planes[:-1], [*planes, []]):
        continuous.header["sources"]["planes"] = other
        refused(continuous, "part 'sources': (fewer|more) tallies than there are planes", PartFault)


def test_high_bytes_of_draws_come_up_as_often_as_their_tally_says(make_by_hand, take_apart):
    """300 draws in place: their low bytes are in two segments, by the high bytes."""
    draws = np.arange(1, 301, dtype=np.int16)
    own = np.arange(300, dtype=np.int32)
    mask = np.ones((300, 1), np.bool_)
    subnetwork = make_by_hand("continuous")
    tensor = replace(subnetwork.tensors[0], mask=mask, draws=draws, sources=own)
    content = ticket_bytes(replace(subnetwork, tensors=(tensor,)))
    assert (parse_ticket(content, "mine").tensors[0].draws == draws).all()
    draft = take_apart(content)
    high, *lows = draft.header["sources"]["planes"][:3]
    assert high == [255, 45] and len(lows) == 2
    draft.header["sources"]["planes"][0] = [254, 46]
    refused(draft, "part 'sources'", PartFault)


@pytest.mark.parametrize("layers", [64, 65])
def test_kernel_positions_in_turn_are_limited(binary, layers):
    """Each takes time, however few weights it has."""
    layer = dict(binary.header["layers"][0], kept=0, moved=None, context=[0, 0, 0, 0, 8], shape=[1, 1, 64])
    binary.header["layers"] = [dict(layer, name=f"l{i}") for i in range(layers)]
    if layers > 64:
        bounded(binary, f"{64 * layers} kernel positions in turn, at most 4096 are allowed", LimitFault, 6e7)
    else:
        binary.header["moved"] = []
        refused(binary, "part '(contexts|coded)'", PartFault)


# --- cost ----------------------------------------------------------------------------------------


def bounded(draft, match, kind, memory=8e6, seconds=5.0):
    content = draft.content()
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(kind, match=match):
            parse_ticket(content, "mine")
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < seconds


SHAPES = [[10**6, 10**6], [2**30 + 1], [2**15, 2**15 + 1], [10**12], [2**40, 2**40]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_layer_of_too_many_weights_is_refused_before_memory_is_taken(binary, shape):
    binary.header["layers"][0]["shape"] = shape
    bounded(binary, "weights in a layer, at most 1073741824 are allowed", LimitFault)


def test_a_kilobyte_that_claims_a_terabyte_is_refused_at_once(binary):
    layer = binary.header["layers"][0]
    binary.header["layers"] = [dict(layer, name=f"l{i}", shape=[2**30]) for i in range(1000)]
    assert len(binary.content()) < 8000
    bounded(binary, "1073741824000 weights, at most 2147483648 are allowed", LimitFault)


def test_more_weights_than_bytes_can_stand_for_are_refused(binary):
    binary.header["layers"][0]["shape"] = [2**26]
    bounded(binary, r"67108960 weights in \d+ bytes, at most 16384 a byte are allowed", LimitFault)


@pytest.mark.parametrize("count", [10_001, 200_000])
def test_too_many_layers_are_refused(binary, count):
    binary.header["layers"] = [{}] * count
    bounded(binary, "list of 1 to 10000 entries", HeaderFault, memory=1e8)


def test_a_state_of_more_than_its_bytes_can_hold_is_refused(binary):
    binary.header["state"] = [["float32", [["a", [1 << 28]]]]]
    binary.header["planes"] = [[1 << 28]] * 4
    bounded(binary, r"part 'coded': 10737418\d\d symbols in", PartFault)


def test_all_weights_pruned_are_no_bomb(make_by_hand, take_apart):
    """The most that a small file can make the reader take: 16 k weights a byte, none of them kept."""
    draft = take_apart(ticket_bytes(make_by_hand("binary")))
    size = len(draft.content()) * 2**13
    layers = [dict(layer, kept=0, moved=None, context=[0] * 5) for layer in draft.header["layers"]]
    layers[0]["shape"] = [size]
    draft.header |= {"layers": layers, "moved": []}
    bounded(draft, "part '(contexts|masks|coded)'", PartFault, memory=2.5 * size)


@example(depth=100_000)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(depth=st.integers(1, 5000))
def test_nested_json_is_refused(binary, depth):
    binary.spelling = b"[" * depth + b"]" * depth
    refused(binary, "part 'header'", HeaderFault)


# --- what only the architecture can tell -----------------------------------------------------------


def test_the_code_that_a_ticket_names_is_not_imported(binary, tiny_net):
    with pytest.raises(UsageFault, match="nothing named in a file is imported"):
        assemble(parse_ticket(binary.content(), "mine"))


@pytest.mark.parametrize("arch", ["os:system", "antigravity:fly", "no such", "../up", "conv2\0", ""])
def test_unknown_names_import_nothing(binary, arch):
    binary.header["arch"] = arch
    before = set(sys.modules)
    with pytest.raises(UsageFault):
        assemble(parse_ticket(binary.content(), "mine"))
    assert not [name for name in set(sys.modules) - before if not name.startswith("torch.")]


def test_a_mask_of_another_shape_is_refused_when_assembled(make_by_hand, tiny_net):
    subnetwork = make_by_hand("binary")
    conv, head = subnetwork.tensors
    other = replace(subnetwork, tensors=(replace(conv, mask=conv.mask.reshape(9, 3)), head))
    with pytest.raises(CorruptArtefact, match=r"'conv\.weight' of shape \(3, 1, 3, 3\), .* \(9, 3\)"):
        assemble(parse_ticket(ticket_bytes(other), "mine"), import_custom=True)


@pytest.mark.parametrize(
    "numbers", [[0] * 5, [0, 1, 0, 1, 0], [0, 0, 0, 0, 6]], ids=["plain", "table", "levels"]
)
def test_many_layers_take_memory_for_what_they_say_and_no_table_each(binary, numbers):
    """A table of all pairs of bytes takes 64 kB; of 10,000 layers they took 0.7 GB."""
    layers, cells = 2000, 1 << numbers[1] + numbers[3]
    levels = 2 * (numbers[4] == 6)
    layer = dict(binary.header["layers"][0], kept=0, moved=None, context=numbers, shape=[1])
    names = [f"l{i}" for i in range(layers)]
    tallies = {"tables": [layers * cells], "levels": [layers * levels] if levels else []}
    rows = [(np.zeros(layers * n, np.uint8), of_counts([layers * n or 1])) for n in (cells, levels)]
    binary.header |= {"layers": [dict(layer, name=name) for name in names], "tallies": tallies}
    binary.header |= {"masks": [], "moved": [], "state": [], "planes": []}
    contexts = encode_symbols(rows)
    digests = bytes(16 * layers) + hashlib.sha256(b"{}").digest()[:16]
    binary.parts = {
        "coded": np.frombuffer(contexts, np.uint8),
        "raw": np.frombuffer(framed(digests[4 * lanes_of(contexts) :]), np.uint8),
    }
    content = binary.content()
    tracemalloc.start()
    assert len(parse_ticket(content, "mine").tensors) == layers
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < layers * 10_000
