"""Digests of versions 1 and 2: what is rebuilt is compared with what the search had, array by array."""

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.digests import check_digests
from recycle_pipeline.exporters.ticket.reader import parse_ticket, stored_digests
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.subnetwork import array_digest


def digests_of(arrays):
    return {name: array_digest(array) for name, array in arrays.items()}


def test_equal_arrays_pass(subnetwork):
    arrays = subnetwork.arrays()
    assert check_digests(arrays, digests_of(subnetwork.arrays()), "mine") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a + (np.arange(a.size) == 0).reshape(a.shape).astype(a.dtype),
        lambda a: a.reshape(-1) if a.ndim > 1 else a[None],
        lambda a: a.astype(np.float64),
        lambda a: np.negative(a),
    ],
    ids=["one value", "shape", "dtype", "signs"],
)
def test_the_array_that_differs_is_named(subnetwork, change):
    arrays = subnetwork.arrays()
    for name, array in arrays.items():
        changed = {**arrays, name: change(array)}
        with pytest.raises(CorruptArtefact, match=f"part '{name}': the rebuilt array is not"):
            check_digests(changed, digests_of(arrays), "mine")


def test_an_array_without_digest_is_named(subnetwork):
    arrays = subnetwork.arrays()
    digests = digests_of(arrays)
    del digests["bn.bias"]
    with pytest.raises(CorruptArtefact, match=r"part 'bn\.bias': .* do not name the same arrays"):
        check_digests(arrays, digests, "mine")


def test_a_digest_without_array_is_named(subnetwork):
    arrays = subnetwork.arrays()
    with pytest.raises(CorruptArtefact, match=r"part 'ghost\.weight'"):
        check_digests(arrays, {**digests_of(arrays), "ghost.weight": "00"}, "mine")


def test_digests_of_a_search_that_computed_something_else_are_caught(subnetwork, ticket_bytes, tmp_path):
    """The search's tensors, not the rebuilt ones, are what a ticket must reproduce."""
    searched = subnetwork.arrays()
    weight = searched["conv.weight"]
    searched["conv.weight"] = np.where(weight == 0, weight, np.nextafter(weight, np.float32(9)))
    (tmp_path / "t").write_bytes(ticket_bytes(subnetwork, digests_of(searched)))
    digests = stored_digests(tmp_path / "t")
    assert digests == digests_of(searched)
    with pytest.raises(CorruptArtefact, match=r"part 'conv\.weight'"):
        check_digests(subnetwork.arrays(), digests, str(tmp_path / "t"))


def _one_more(hexadecimal: str) -> str:
    return f"{int(hexadecimal, 16) + 1:08x}"


def _lower_seed(draft):
    draft.header["seed"] -= 1


def _scale(draft):
    for layer in draft.header["layers"]:
        layer["scale"] = _one_more(layer["scale"])


def _gain(draft):
    for layer in draft.header["layers"]:
        layer["gain"] = _one_more(layer["gain"])


def _init(draft):
    draft.header["layers"][0]["init"] = "signed_constant"
    for part in ("draws", "sources"):
        del draft.parts[f"{part}/conv"]


def _shape(draft):
    draft.header["layers"][0]["shape"] = [9, 3]


def _draw(draft):
    draft.parts["draws/head"] = draft.parts["draws/head"] + np.int16(1)


def _source(draft):
    draft.parts["sources/head"] = draft.parts["sources/head"][::-1].copy()


def _state(draft):
    draft.parts["state/bn.bias"] = draft.parts["state/bn.bias"] + np.float32(1)


def _turned_state(draft):
    draft.parts["state/bn.bias"] = draft.parts["state/bn.bias"][None]


def _more_state(draft):
    draft.parts["state/ghost"] = np.zeros(2, np.float32)


def _other_names(draft):
    draft.header["layers"][0]["name"] = "stem"
    for part in [p for p in draft.parts if p.endswith("/conv")]:
        draft.parts[part.replace("conv", "stem")] = draft.parts.pop(part)


PLAUSIBLE = [
    ("binary", _gain, "conv.weight"),
    ("continuous", _lower_seed, "conv.weight"),
    ("binary", _lower_seed, "conv.weight"),
    ("continuous", _scale, "conv.weight"),
    ("continuous", _init, "conv.weight"),
    ("binary", _shape, "conv.weight"),
    ("continuous", _shape, "conv.weight"),
    ("continuous", _draw, "head.weight"),
    ("continuous", _source, "head.weight"),
    ("binary", _state, "bn.bias"),
    ("binary", _turned_state, "bn.bias"),
    ("binary", _more_state, "ghost"),
    ("continuous", _other_names, r"(stem|conv)\.weight"),
]


@pytest.mark.parametrize(("kind", "lie", "named"), PLAUSIBLE, ids=lambda v: getattr(v, "__name__", v))
def test_a_lie_that_could_be_true_is_caught_by_the_digests(request, kind, lie, named):
    """Header and parts agree, and the reader takes them: only the rebuilt weights show the lie."""
    draft = request.getfixturevalue(kind)
    lie(draft)
    arrays = parse_ticket(draft.content(), "mine").arrays()
    with pytest.raises(CorruptArtefact, match=f"part '{named}'"):
        check_digests(arrays, draft.header["digests"], "mine")


@pytest.mark.parametrize("digests", ["absent", None, 7, [], "text", ["ab", "cd"]])
def test_a_ticket_without_digests_is_refused(binary, tmp_path, digests):
    if digests == "absent":
        del binary.header["digests"]
    else:
        binary.header["digests"] = digests
    (tmp_path / "t").write_bytes(binary.content())
    with pytest.raises(CorruptArtefact, match="part 'header'"):
        stored_digests(tmp_path / "t")


def test_stored_digests_of_a_damaged_ticket_are_refused(subnetwork, ticket_bytes, tmp_path):
    content = bytearray(ticket_bytes(subnetwork))
    content[100] ^= 1
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(CorruptArtefact, match="is damaged, part"):
        stored_digests(tmp_path / "t")


def test_stored_digests_of_no_file_are_a_usage_fault(tmp_path):
    with pytest.raises(UsageFault, match="no ticket at"):
        stored_digests(tmp_path / "nowhere")


def test_negative_zero_is_not_zero(subnetwork):
    arrays = subnetwork.arrays()
    turned = {**arrays, "head.bias": np.array([0.0, -0.0], np.float32)}
    with pytest.raises(CorruptArtefact, match=r"part 'head\.bias'"):
        check_digests(turned, digests_of(arrays), "mine")
