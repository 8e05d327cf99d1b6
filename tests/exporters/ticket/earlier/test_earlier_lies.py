"""Versions 1 and 2 that lie: SHA-256 and CRC-32 are in order, so that the check behind them is what fires.

Every lie is refused by CorruptArtefact when the ticket is read, before anything is computed with it.
"""

import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.reader import parse_ticket
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.conv_nets import conv2
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.options import ArchOptions

HUGE = 10**400  # an integer that no float holds


def short(value):
    return getattr(value, "__name__", None) or repr(value)[:24]


def refused(draft, match):
    with pytest.raises(CorruptArtefact, match=match) as caught:
        parse_ticket(draft.content(), "mine")
    return str(caught.value)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_the_tickets_that_the_lies_start_from_are_read(request, kind):
    """Or the refusals below would prove nothing."""
    assert parse_ticket(request.getfixturevalue(kind).content(), "mine").kind == kind


# --- version -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [5, 17])
def test_a_later_version_is_refused_with_the_advice_to_install_a_newer_one(binary, version):
    binary.header["version"] = version
    refused(binary, rf"^mine is a ticket of version {version}; .* up to version 4: install a newer one$")


@pytest.mark.parametrize(
    "version",
    [
        0,
        -1,
        None,
        "1",
        [1],
        True,
        1.0,
    ],
)
def test_what_is_no_version_is_damage_and_no_newer_one_is_advised(binary, version):
    binary.header["version"] = version
    assert "newer" not in refused(binary, "part 'header'")


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "options"), [(1, {"width": 0.5}), (1, {}), (2, None)], ids=["in 1", "none in 1", "2 without"]
)
def test_options_are_of_version_2_and_version_2_is_for_options(binary, version, options):
    """A reader of version 1 would overlook them."""
    binary.header |= {"version": version} | ({} if options is None else {"options": options})
    refused(binary, r"part 'header': options are of version 2, and version 2 is for options")


@pytest.mark.parametrize(
    "options",
    [
        {},
        [],
        "width",
        {"width": 1.0},
        {"width": 2},
        {"width": True},
        {"width": "2"},
        {"width": 0.0},
        {"width": -1.0},
        {"width": 65.0},
        {"width": HUGE},
        {"activations": "relu"},
        {"activations": "sign"},
        {"activations": ["binary"]},
        {"batch_norm": "fixed"},
        {"batch_norm": None},
        {"width": 0.5, "batch_norm": "fixed"},
        {"depth": 3},
        {"width": 0.5, "depth": 3},
    ],
    ids=short,
)
def test_options_other_than_those_that_differ_from_the_defaults_are_refused(binary, options):
    binary.header |= {"version": 2, "options": options}
    refused(binary, "part 'header'")


def test_options_that_the_arch_does_not_have_are_refused_when_it_is_built(
    make_by_hand, ticket_bytes, tiny_net
):
    for options in (ArchOptions(width=2.0), ArchOptions(activations="binary")):
        reread = parse_ticket(ticket_bytes(replace(make_by_hand("binary"), options=options)), "mine")
        with pytest.raises(UsageFault, match="is your own"):
            assemble(reread, import_custom=True)


@pytest.mark.parametrize(
    "field",
    [
        *("arch", "classes", "channels", "image_size", "mean", "std", "seed", "subnetwork", "prune", "scope"),
        *("layers", "crc32"),
        "digests",
    ],
)
def test_a_missing_field_is_refused(binary, field):
    binary.content()
    binary.honest_crcs = False
    del binary.header[field]
    refused(binary, "is damaged, part")


# --- fields of the header ------------------------------------------------------------------------

HEADER_LIES = [
    ("seed", -1),
    ("seed", 2**63),
    ("seed", 1.5),
    ("seed", "7"),
    ("seed", None),
    ("seed", [7]),
    ("seed", True),
    ("subnetwork", "ternary"),
    ("subnetwork", None),
    ("subnetwork", ["binary"]),
    ("scope", "channel"),
    ("scope", None),
    ("scope", {}),
    ("prune", None),
    ("prune", "much"),
    ("prune", []),
    ("prune", HUGE),
    ("prune", "nan"),
    ("prune", "0.5"),
    ("prune", True),
    ("prune", 1.5),
    ("prune", -0.1),
    ("classes", None),
    ("classes", 2),
    ("classes", [0, 1]),
    ("classes", ["no", None]),
    ("classes", "ny"),
    ("classes", {"no": 0, "yes": 1}),
    ("classes", []),
    ("arch", None),
    ("arch", ["conv2"]),
    ("channels", None),
    ("channels", "one"),
    ("channels", [1]),
    ("channels", "1"),
    ("channels", 1.0),
    ("channels", True),
    ("channels", 0),
    ("channels", -1),
    ("image_size", None),
    ("image_size", "4"),
    ("image_size", 4.5),
    ("image_size", 0),
    ("image_size", -4),
    ("image_size", 10**9),
    ("image_size", HUGE),
    ("mean", None),
    ("mean", 0.5),
    ("mean", ["half"]),
    ("mean", [HUGE]),
    ("mean", ["nan"]),
    ("mean", ["inf"]),
    ("mean", "5"),
    ("mean", [True]),
    ("mean", []),
    ("mean", [0.5, 0.5]),
    ("std", None),
    ("std", ["-inf"]),
    ("std", [0.5, 0.5, 0.5]),
    ("std", [0.0]),
    ("std", [-0.5]),
    ("std", [1e-60]),
    ("layers", None),
    ("layers", 2),
    ("layers", {"conv": {}}),
    ("layers", "conv"),
    ("layers", [None]),
    ("layers", [[]]),
    ("layers", [{}]),
]


@pytest.mark.parametrize(("field", "value"), HEADER_LIES, ids=short)
def test_a_field_that_cannot_be_is_refused(binary, field, value):
    binary.header[field] = value
    refused(binary, "mine is damaged, part '(header|conv)'")


@pytest.mark.parametrize(
    "crc32",
    [
        {},
        None,
        [],
        "text",
        7,
    ],
)
def test_checksums_that_are_none_are_refused(binary, crc32):
    binary.honest_crcs = False
    binary.header["crc32"] = crc32
    refused(binary, "mine is damaged, part")


@pytest.mark.parametrize("value", [0, -1, 2**40])
def test_a_checksum_that_differs_is_refused_and_its_part_named(binary, value):
    binary.content()
    binary.honest_crcs = False
    binary.header["crc32"]["mask/head"] = value
    refused(binary, r"part 'mask/head': its CRC-32 does not match")


@pytest.mark.parametrize("value", [None, "0", []])
def test_a_checksum_that_is_no_number_is_refused(binary, value):
    binary.content()
    binary.honest_crcs = False
    binary.header["crc32"]["mask/head"] = value
    refused(binary, r"part '(header|mask/head)'")


# --- layers --------------------------------------------------------------------------------------

NOT_FLOAT32 = ["", "3f8", "3f80000g", "3f8000000", 1.0, 1065353216, [], {}]
NOT_FLOAT32 += ["7fc00000", "ffc00000", "7f800000", "ff800000"]  # NaN, infinity
SLOPPY = ["-0000001", "+3f80000", "0x3f8000", " 3f80000", "3f_80000", "3F800000", "\uff13f800000"]
LAYER_LIES = [
    ("name", 5),
    ("name", None),
    ("name", "stem"),
    ("kept", None),
    ("kept", "11"),
    ("kept", -1),
    ("init", "xavier"),
    ("init", None),
    ("init", ["kaiming_normal"]),
    ("scale", None),
    *[("scale", value) for value in NOT_FLOAT32],
    *[("scale", value) for value in SLOPPY],
    ("scale", "00000000"),
    ("scale", "bf800000"),
    ("gain", None),
    *[("gain", value) for value in NOT_FLOAT32],
    *[("gain", value) for value in SLOPPY],
    ("gain", "bf800000"),
    ("shape", None),
    ("shape", 27),
    ("shape", []),
    ("shape", [0, 27]),
    ("shape", [27, 0]),
    ("shape", [-3, 1, -3, 3]),
    ("shape", [24]),
    ("shape", [33]),
    ("shape", [35]),
    ("shape", [1] * 100 + [27]),
    ("shape", ["three", 9]),
    ("shape", [None, 27]),
    ("shape", [[27]]),
    ("shape", [10**6, 10**6]),
    ("shape", [2**30]),
    ("shape", [2**30 + 1]),
    ("shape", [2**63, 2]),
    ("shape", [2**32, 2**32]),
    ("shape", [HUGE]),
    ("shape", [3.0, 1, 3, 3]),
    ("shape", [3.7, 1, 3, 3]),
    ("shape", ["3", 1, 3, 3]),
    ("shape", [3, True, 3, 3]),
    ("shape", "3133"),
]


@pytest.mark.parametrize(("field", "value"), LAYER_LIES, ids=short)
def test_a_layer_that_cannot_be_is_refused(binary, field, value):
    binary.header["layers"][0][field] = value
    refused(binary, r"mine is damaged, part '(header|conv|(mask|flips)/\w+)'")


@pytest.mark.parametrize("field", ["name", "shape", "kept", "init", "scale", "gain"])
def test_a_layer_that_lacks_a_field_is_refused(binary, field):
    del binary.header["layers"][1][field]
    refused(binary, "mine is damaged, part 'header'")


@pytest.mark.parametrize("off", [-1, 1])
def test_a_kept_count_that_is_off_is_refused(subnetwork, ticket_bytes, take_apart, off):
    draft = take_apart(ticket_bytes(subnetwork))
    draft.header["layers"][0]["kept"] += off
    kept = subnetwork.tensors[0].kept
    refused(draft, f"part 'mask/conv': {kept} weights kept, the header says {kept + off}")


def test_a_gain_in_a_continuous_subnetwork_is_refused(continuous):
    continuous.header["layers"][0]["gain"] = "3f800000"
    refused(continuous, "part 'conv': a binary subnetwork has gains, a continuous one has none")


def test_a_binary_subnetwork_that_calls_itself_continuous_is_refused(binary):
    binary.header["subnetwork"] = "continuous"
    refused(binary, "part 'conv': a binary subnetwork has gains")


def test_two_layers_of_one_name_are_refused(binary):
    binary.header["layers"].append(dict(binary.header["layers"][0], scale="3f800000"))
    refused(binary, "part 'conv'")


def test_more_layers_than_the_format_allows_are_refused_and_the_bound_is_stated(binary):
    head = binary.header["layers"][1]
    binary.header["layers"] = [dict(head, name=f"head{i}") for i in range(layout.MAX_LAYERS + 1)]
    refused(binary, f"part 'header': .*{layout.MAX_LAYERS}")


def test_a_ticket_of_no_layers_is_refused(binary):
    binary.header["layers"] = []
    binary.parts = {k: v for k, v in binary.parts.items() if k.startswith("state/")}
    refused(binary, "part 'header'")


# --- parts ---------------------------------------------------------------------------------------


def _edit(draft, part, change):
    draft.parts[part] = change(draft.parts[part])


def test_a_missing_mask_is_refused(binary):
    del binary.parts["mask/conv"]
    refused(binary, "part 'mask/conv': missing")


@pytest.mark.parametrize("part", ["mask/conv", "flips/head", "state/bn.bias"])
def test_a_part_that_only_the_header_has_is_refused(binary, part):
    binary.content()
    binary.honest_crcs = False
    del binary.parts[part]
    refused(binary, f"part '{part}': missing")


@pytest.mark.parametrize("part", ["mask/ghost", "state/ghost", "ghost"])
def test_a_part_that_the_header_lacks_is_refused(binary, part):
    binary.content()
    binary.honest_crcs = False
    binary.parts[part] = np.zeros(3, np.uint8)
    refused(binary, f"part '{part}': not announced by the header")


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("binary", "ghost"),
        ("binary", "mask/ghost"),
        ("binary", "flips/ghost"),
        ("continuous", "draws/ghost"),
        ("continuous", "sources/ghost"),
        ("continuous", "flips/conv"),
    ],
)
def test_a_part_that_no_layer_has_is_refused(request, encoded_bits, kind, part):
    draft = request.getfixturevalue(kind)
    kept = draft.header["layers"][0]["kept"]
    draft.parts[part] = encoded_bits(np.ones(kept, np.bool_))
    refused(draft, f"part '{part}'")


def test_draws_in_a_binary_subnetwork_are_refused(binary):
    kept = binary.header["layers"][0]["kept"]
    binary.parts |= {"draws/conv": np.zeros(kept, np.int16), "sources/conv": np.zeros(kept, np.int32)}
    refused(binary, "part 'conv'|part 'draws/conv'")


def test_state_in_place_of_a_masked_weight_is_refused(binary):
    """The masks and the seed would be for show."""
    binary.parts["state/conv.weight"] = np.ones((3, 1, 3, 3), np.float32)
    refused(binary, r"part 'state/conv\.weight'")


def _recoded(wrong):
    """Marks what is to be coded in place of the part."""
    return wrong


PART_LIES = [
    ("binary", "mask/conv", lambda a: a.view(np.int8), "dtype int8, expected uint8"),
    ("binary", "mask/conv", lambda a: a.astype(np.float32), "dtype float32, expected uint8"),
    ("binary", "mask/conv", lambda a: a[:-1], "packed bytes"),
    ("binary", "mask/conv", lambda a: a[:0], "packed bytes"),
    ("binary", "mask/conv", lambda a: np.append(a, np.uint8(0)), "packed bytes"),
    ("binary", "mask/conv", lambda a: np.full(9, 7, np.uint8), "invalid block type"),
    ("binary", "mask/conv", _recoded(np.ones(33, np.bool_)), "packed bytes"),
    ("binary", "mask/conv", _recoded(np.ones(28, np.bool_)), "padding bits"),
    ("binary", "mask/conv", _recoded(np.zeros(27, np.bool_)), "0 weights kept"),
    ("binary", "flips/conv", lambda a: a.astype(np.int16), "dtype int16, expected uint8"),
    ("binary", "flips/conv", _recoded(np.ones(40, np.bool_)), "packed bytes"),
    ("binary", "flips/conv", _recoded(np.zeros(0, np.bool_)), "packed bytes"),
    ("continuous", "draws/conv", lambda a: a.astype(np.int32), "must be int16 and int32"),
    ("continuous", "draws/conv", lambda a: a.astype(np.uint16), "must be int16 and int32"),
    ("continuous", "draws/conv", lambda a: a[:-1], "of 10 entries"),
    ("continuous", "draws/conv", lambda a: a[:, None], "of 10 entries"),
    ("continuous", "draws/conv", lambda a: np.append(a[:-1], np.int16(-1)), "out of range"),
    ("continuous", "sources/conv", lambda a: a.astype(np.int64), "must be int16 and int32"),
    ("continuous", "sources/conv", lambda a: a.astype(np.float32), "must be int16 and int32"),
    ("continuous", "sources/conv", lambda a: np.append(a, np.int32(0)), "of 10 entries"),
    ("continuous", "sources/conv", lambda a: a[None], "of 10 entries"),
    ("continuous", "sources/conv", lambda a: np.append(a[:-1], np.int32(27)), "out of range"),
    ("continuous", "sources/conv", lambda a: np.append(a[:-1], np.int32(-1)), "out of range"),
    ("continuous", "sources/conv", lambda a: np.append(a[:-1], np.int32(2**31 - 1)), "out of range"),
]


@pytest.mark.parametrize(("kind", "part", "change", "message"), PART_LIES, ids=short)
def test_a_part_that_cannot_be_is_refused(request, encoded_bits, kind, part, change, message):
    draft = request.getfixturevalue(kind)
    _edit(draft, part, change if callable(change) else lambda _: encoded_bits(change))
    assert message in refused(draft, f"part '({part}|conv)'")


@pytest.mark.parametrize("alone", ["draws", "sources"])
def test_draws_and_sources_come_together_or_not_at_all(continuous, alone):
    other = {"draws": "sources", "sources": "draws"}[alone]
    del continuous.parts[f"{other}/conv"]
    refused(continuous, "part 'conv': draws and sources come together or not at all")


def test_the_largest_draw_and_source_are_taken(continuous):
    """The refusals above stop where the range does."""
    _edit(continuous, "draws/conv", lambda a: np.append(a[:-1], np.int16(2**15 - 1)))
    _edit(continuous, "sources/conv", lambda a: np.append(a[:-1], np.int32(26)))
    tensor = parse_ticket(continuous.content(), "mine").tensors[0]
    assert (tensor.draws[-1], tensor.sources[-1]) == (2**15 - 1, 26)


# --- cost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [[10**6, 10**6], [2**30], [2**15, 2**15], [10**12], [HUGE] * 50], ids=short)
def test_a_small_file_that_claims_much_is_refused_in_little_memory_and_time(binary, shape):
    binary.header["layers"] = [dict(layer, shape=shape) for layer in binary.header["layers"]]
    content = binary.content()
    assert len(content) < 60_000
    start = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArtefact, match=r"part '(header|conv|mask/conv)'"):
            parse_ticket(content, "mine")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6
    assert time.perf_counter() - start < 5.0


def test_a_kilobyte_that_claims_a_terabyte_is_a_kilobyte(binary):
    """The case above in numbers: 10**12 weights in less than 3 kB."""
    binary.header["layers"][0]["shape"] = [10**6, 10**6]
    content = binary.content()
    assert len(content) < 3000
    refused(binary, r"part 'conv': shape \(1000000, 1000000\) is not a weight's")


# --- what only the architecture can tell -----------------------------------------------------------


def test_state_of_another_shape_is_refused_when_assembled(binary, tiny_net):
    binary.parts["state/bn.bias"] = np.zeros(4, np.float32)
    subnetwork = parse_ticket(binary.content(), "mine")
    with pytest.raises(CorruptArtefact, match=r"has 'bn\.bias' of shape \(3,\), the subnetwork \(4,\)"):
        assemble(subnetwork, import_custom=True)


def test_state_that_would_broadcast_is_refused_when_assembled(binary, tiny_net):
    binary.parts["state/bn.bias"] = np.zeros(1, np.float32)
    with pytest.raises(CorruptArtefact, match=r"has 'bn\.bias' of shape \(3,\), the subnetwork \(1,\)"):
        assemble(parse_ticket(binary.content(), "mine"), import_custom=True)


@pytest.mark.parametrize("missing", ["bn.bias", "head.bias"])
def test_state_that_lacks_an_array_is_refused_when_assembled(binary, tiny_net, missing):
    del binary.parts[f"state/{missing}"]
    with pytest.raises(CorruptArtefact, match=f"has the tensor '{missing}', the subnetwork does not agree"):
        assemble(parse_ticket(binary.content(), "mine"), import_custom=True)


def test_a_mask_of_another_shape_is_refused_when_assembled(binary, tiny_net):
    binary.header["layers"][0]["shape"] = [9, 3]
    with pytest.raises(CorruptArtefact, match=r"'conv\.weight' of shape \(3, 1, 3, 3\), .* \(9, 3\)"):
        assemble(parse_ticket(binary.content(), "mine"), import_custom=True)


@pytest.mark.parametrize(("field", "value"), [("channels", 2), ("image_size", 8), ("classes", ["a"] * 3)])
def test_an_input_that_the_weights_are_not_for_is_refused_when_assembled(binary, tiny_net, field, value):
    binary.header[field] = value
    if field == "channels":
        binary.header.update(mean=[0.5] * 2, std=[0.5] * 2)
    with pytest.raises(CorruptArtefact, match=r"\.weight' of shape"):
        assemble(parse_ticket(binary.content(), "mine"), import_custom=True)


def test_no_memory_is_taken_for_a_network_that_the_parts_do_not_fill(binary, monkeypatch):
    """conv2 at 4096 px has 275 GB in one layer: the shapes are compared before they are allocated."""
    built_on = []

    def builder(**options):
        built_on.append(torch.empty(0).device.type)
        return conv2(**options)

    monkeypatch.setattr("recycle_pipeline.models.conv_nets.conv2", builder)
    binary.header["arch"] = "conv2"
    with pytest.raises(CorruptArtefact):
        assemble(parse_ticket(binary.content(), "mine"))
    assert built_on == ["meta"]


def test_the_code_that_a_ticket_names_is_not_imported(binary, tiny_net):
    with pytest.raises(UsageFault, match="nothing named in a file is imported"):
        assemble(parse_ticket(binary.content(), "mine"))
