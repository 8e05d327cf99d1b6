"""A subnetwork written as a ticket and read again is the same subnetwork, bit for bit."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recycle_pipeline.exporters.ticket.digests import check_digests, digests_of
from recycle_pipeline.exporters.ticket.reader import (
    load_ticket,
    parse_ticket,
    parse_verified,
    stored_digests,
)
from recycle_pipeline.exporters.ticket.writer import ticket_bytes, write_ticket
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.draws import INITS, MAX_SEED
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest


def searched(kind: str, init: str, reuse: str) -> tuple[MaskedNetwork, Subnetwork]:
    """conv2 at 8 px, 1 channel, after an event (if any) and a change of heart of the scores."""
    torch.manual_seed(3)
    recipe = Recipe(seed=11, kind=kind, prune=0.8, init=init, scale_fan="keep", scope="layer")
    masked = MaskedNetwork(build("conv2", classes=10, channels=1, image_size=8), recipe)
    if reuse == "recycled":
        masked.recycle(0.3)
    if reuse == "rerandomized":
        masked.rerandomize(0.5, 1)
        masked.rerandomize(0.5, 2)
    with torch.no_grad():
        for scores in masked.scores:
            scores.copy_(torch.rand_like(scores))  # written places are among the kept ones now
    masked.refresh()
    classes = tuple("0123456789")
    head = ("conv2", classes, 1, 8, (0.3,), (0.4,), 11, kind, 0.8, "layer")
    return masked, Subnetwork(*head, tensors=masked.tensors(), state=masked.state())


@pytest.mark.parametrize("reuse", ["no reuse", "recycled", "rerandomized"])
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_a_searched_network_comes_back_as_the_search_computed_with_it(kind, init, reuse, assert_same):
    masked, subnetwork = searched(kind, init, reuse)
    assert all(bool(t.moved) == (reuse != "no reuse") for t in subnetwork.tensors)
    computed = {name: weight.numpy() for name, weight in masked.effective().items()}
    digests = digests_of(computed, subnetwork.state)

    reread = parse_ticket(ticket_bytes(subnetwork, digests), "mine")

    assert_same(reread, subnetwork)
    check_digests(reread.arrays(), digests, "mine")
    images = torch.randn(3, 1, 8, 8)
    masked.network.eval()
    assert torch.equal(assemble(reread)(images), masked.network(images))


OPTIONS = [
    ArchOptions(width=0.5),
    ArchOptions(activations="binary"),
    ArchOptions(0.25, "binary", "learned"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options.changed()))
def test_options_come_back_and_build_the_same_network(options, assert_same):
    """Also gamma and beta, which no seed gives."""
    network = build("conv2", classes=10, channels=1, image_size=8, options=options)
    recipe = Recipe(11, "binary", 0.8, "kaiming_normal", "keep", "layer", batch_norm=options.batch_norm)
    masked = MaskedNetwork(network, recipe)
    with torch.no_grad():
        for number, parameter in enumerate(masked.others):
            parameter.add_(torch.linspace(-1, 1, parameter.numel()) * number)
    network.train()(torch.randn(16, 1, 8, 8))  # running statistics
    head = ("conv2", tuple("0123456789"), 1, 8, (0.3,), (0.4,), 11, "binary", 0.8, "layer")
    subnetwork = Subnetwork(*head, tensors=masked.tensors(), state=masked.state(), options=options)
    assert len(subnetwork.state) == 4 * (2 + options.affine * 2) * options.binary

    reread = parse_ticket(ticket_bytes(subnetwork), "mine")

    assert_same(reread, subnetwork)
    assert reread.options == options
    check_digests(reread.arrays(), digests_of(subnetwork.weights(), subnetwork.state), "mine")
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(assemble(reread)(images), network.eval()(images))


def test_only_options_that_differ_are_stored(subnetwork, take_apart):
    plain = take_apart(ticket_bytes(subnetwork)).header
    assert "options" not in plain
    header = take_apart(ticket_bytes(replace(subnetwork, options=ArchOptions(2, "binary")))).header
    assert header == plain | {"options": {"width": 2.0, "activations": "binary"}}
    assert type(header["options"]["width"]) is float


def test_by_hand_comes_back_the_same(subnetwork, tmp_path, assert_same):
    write_ticket(subnetwork, tmp_path / "t.safetensors")
    for path in (tmp_path / "t.safetensors", str(tmp_path / "t.safetensors")):
        assert_same(load_ticket(path), subnetwork)
        assert stored_digests(path) == digests_of(subnetwork.weights(), subnetwork.state)


def test_a_scalar_of_the_state_stays_a_scalar(subnetwork):
    """Its shape is (), not (1,): a network's own parameter would not take it back."""
    content = ticket_bytes(replace(subnetwork, state={"scaled.temperature": np.array(0.5, np.float32)}))
    assert parse_ticket(content, "mine").state["scaled.temperature"].shape == ()


def test_a_ticket_stands_for_its_network(subnetwork, tiny_net):
    reread = parse_ticket(ticket_bytes(subnetwork), "mine")
    network = assemble(reread, import_custom=True)
    got = {name: value.numpy() for name, value in network.state_dict().items() if "num_batches" not in name}
    for name, array in subnetwork.arrays().items():
        assert array_digest(got[name]) == array_digest(array), name


def test_what_rests_in_memory_in_another_way_is_stored_alike(subnetwork):
    """Strided provenance, a transposed mask and big-endian state are the same values."""

    def strided(a):
        return None if a is None else np.repeat(a, 2)[::2]

    def odd(t):
        mask = np.asfortranarray(t.mask)
        provenance = {field: strided(getattr(t, field)) for field in ("flips", "draws", "sources")}
        return replace(t, mask=mask, **provenance)

    state = {n: a.astype(a.dtype.newbyteorder(">")) for n, a in subnetwork.state.items()}
    other = replace(subnetwork, tensors=tuple(map(odd, subnetwork.tensors)), state=state)
    assert ticket_bytes(other) == ticket_bytes(subnetwork)


def test_provenance_that_says_nothing_is_not_stored(make_by_hand, take_apart):
    tensor = make_by_hand("binary").tensors[0]
    still = replace(tensor, flips=np.zeros(tensor.kept, np.bool_))
    own = np.flatnonzero(tensor.mask).astype(np.int32)
    plain = replace(tensor, gain=None, flips=None, draws=np.zeros(tensor.kept, np.int16), sources=own)
    for kind, tensor in (("binary", still), ("continuous", plain)):
        draft = take_apart(ticket_bytes(replace(make_by_hand(kind), tensors=(tensor,))))
        assert sorted(draft.parts) == ["coded", "raw"]
        assert draft.header["moved"] == [] and draft.header["sources"] is None


def test_provenance_that_the_weights_do_not_follow_from_is_not_stored(make_by_hand, take_apart):
    """A binary layer has signs alone, a continuous one no flips: nothing would read the part."""
    binary, continuous = make_by_hand("binary"), make_by_hand("continuous")
    for subnetwork, other in ((binary, continuous), (continuous, binary)):
        both = [
            replace(
                t,
                **{f: getattr(u, f) for f in ("flips", "draws", "sources") if getattr(t, f) is None},
            )
            for t, u in zip(subnetwork.tensors, other.tensors, strict=True)
        ]
        assert ticket_bytes(replace(subnetwork, tensors=tuple(both))) == ticket_bytes(subnetwork)


def test_the_order_of_state_does_not_change_the_bytes(subnetwork):
    turned = replace(subnetwork, state=dict(reversed(subnetwork.state.items())))
    assert list(turned.state) != list(subnetwork.state)
    assert ticket_bytes(turned) == ticket_bytes(subnetwork)


def test_the_order_of_digests_does_not_change_the_bytes(subnetwork):
    digests = digests_of(subnetwork.weights(), subnetwork.state)
    turned = dict(reversed(digests.items()))
    assert ticket_bytes(subnetwork, turned) == ticket_bytes(subnetwork, digests) == ticket_bytes(subnetwork)


@pytest.mark.parametrize("gain", [0.0, 1e-45, 0.5])
def test_what_is_read_and_compared_is_what_is_read_and_rebuilt(make_by_hand, gain):
    """A gain of 0 makes kept weights 0, which their digest cannot tell from pruned ones."""
    for kind in ("binary", "continuous"):
        of = make_by_hand(kind)
        tensors = [replace(t, gain=np.float32(gain)) if kind == "binary" else t for t in of.tensors]
        content = ticket_bytes(replace(of, tensors=tuple(tensors)))
        subnetwork, arrays = parse_verified(content, "mine")
        assert {n: a.tobytes() for n, a in arrays.items()} == {
            n: a.tobytes() for n, a in parse_ticket(content, "mine").arrays().items()
        }
        assert {n: a.tobytes() for n, a in subnetwork.arrays().items()} == {
            n: a.tobytes() for n, a in arrays.items()
        }
        check_digests(arrays, digests_of(subnetwork.weights(), subnetwork.state), "mine")


def test_a_digest_that_is_none_of_a_weights_is_not_written(subnetwork):
    digests = {n: array_digest(a) for n, a in subnetwork.arrays().items()}
    with pytest.raises(ValueError, match="is no digest of a weight in 16 bytes"):
        ticket_bytes(subnetwork, digests)


@pytest.mark.parametrize("size", [8, 9, 300])
def test_arrays_that_repeat_others_come_back_and_are_stored_once(subnetwork, take_apart, size):
    """None is repeated twice: the third and the fourth are another pair. Constants and short ones are not."""
    rng = np.random.default_rng(size)
    row, other = rng.normal(size=(2, size)).astype(np.float32)
    state = {f"{name}.bias": row.copy() for name in "abcd"} | {
        "e.bias": other,
        "f.bias": other.reshape(1, -1),
    }
    state |= {
        "g.bias": np.zeros(size, np.float32),
        "h.bias": np.zeros(size, np.float32),
        "a.mean": row.copy(),
    }
    content = ticket_bytes(replace(subnetwork, state=state))
    found = parse_ticket(content, "mine").state
    assert {n: (a.shape, a.tobytes()) for n, a in found.items()} == {
        n: (a.shape, a.tobytes()) for n, a in state.items()
    }
    assert not any(np.shares_memory(found["a.bias"], found[name]) for name in found if name != "a.bias")
    (_, biases), (_, means) = sorted(take_apart(content).header["state"], key=lambda group: -len(group[1]))
    repeats = {name: more for name, _, *more in biases if more}
    assert repeats == ({"b.bias": [0], "d.bias": [2], "f.bias": [4]} if size > 8 else {})
    assert all(len(entry) == 2 for entry in means)


def test_the_order_of_layers_is_kept(subnetwork):
    """It is the network's order: part of the value, so it does change the bytes."""
    turned = replace(subnetwork, tensors=subnetwork.tensors[::-1])
    assert ticket_bytes(turned) != ticket_bytes(subnetwork)
    names = [t.name for t in parse_ticket(ticket_bytes(turned), "mine").tensors]
    assert names == ["head", "conv"]


REWRITE = """
import hashlib, sys
from pathlib import Path
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
subnetwork = load_ticket(sys.argv[1])
subnetwork.arrays()
assert "torch" not in sys.modules, "a ticket needs numpy alone"
print(hashlib.sha256(ticket_bytes(subnetwork)).hexdigest())
"""


def rewrite_elsewhere(ticket: Path, hash_seed: str, environment: Mapping[str, str]) -> str:
    command = [sys.executable, "-c", REWRITE, str(ticket)]
    environment = {**environment, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_equal_subnetworks_give_equal_bytes_in_any_process_and_without_torch(
    subnetwork, tmp_path, environment
):
    write_ticket(subnetwork, tmp_path / "t.safetensors")
    here = rewrite_elsewhere(tmp_path / "t.safetensors", "1", environment)
    assert here == rewrite_elsewhere(tmp_path / "t.safetensors", "2", environment)
    assert here == hashlib.sha256(ticket_bytes(subnetwork)).hexdigest()


SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=7)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Any shape; nothing kept, one kept, all kept, or any choice."""
    shape = draw(SHAPES)
    how = draw(st.sampled_from(["none", "one", "all", "any"]))
    if how == "any":
        return draw(hnp.arrays(np.bool_, shape))
    mask = np.full(shape, how == "all")
    if how == "one":
        mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return mask


POSITIVE = st.floats(2.0**-126, 2.0**100, width=32).map(np.float32)


@st.composite
def layers(draw: st.DrawFn, name: str, kind: str) -> MaskedTensor:
    mask = draw(masks())
    kept = int(mask.sum())
    init = draw(st.sampled_from(INITS))
    gain = None if kind == "continuous" else draw(POSITIVE) if kept else np.float32(0)
    tensor = MaskedTensor(name, init, draw(POSITIVE), mask, gain)
    if draw(st.booleans()):
        return tensor
    if tensor.sign_only:
        return replace(tensor, flips=draw(hnp.arrays(np.bool_, kept)))
    numbers = draw(hnp.arrays(np.int16, kept, elements=st.integers(0, 2**15 - 1)))
    sources = draw(hnp.arrays(np.int32, kept, elements=st.integers(0, mask.size - 1)))
    return replace(tensor, draws=numbers, sources=sources)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_])


@st.composite
def subnetworks(draw: st.DrawFn) -> Subnetwork:
    kind = draw(st.sampled_from(["binary", "continuous"]))
    channels = draw(st.integers(1, 4))
    numbers = st.floats(-1e3, 1e3)
    state_shapes = hnp.array_shapes(min_dims=1, max_dims=2, max_side=5)
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    state = draw(st.dictionaries(st.text("abc.", min_size=1), hnp.arrays(DTYPES, state_shapes), max_size=3))
    return Subnetwork(
        arch=draw(st.sampled_from(["conv2", "mine:build"])),
        classes=tuple(draw(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=3))),
        channels=channels,
        image_size=draw(st.integers(1, 512)),
        mean=tuple(draw(st.lists(numbers, min_size=channels, max_size=channels))),
        std=tuple(draw(st.lists(st.floats(1e-6, 1e3), min_size=channels, max_size=channels))),
        seed=draw(st.integers(0, MAX_SEED)),
        kind=kind,
        prune=draw(st.floats(0.001, 0.999)),
        scope=draw(st.sampled_from(["layer", "global"])),
        tensors=tuple(draw(layers(name, kind)) for name in names),
        state=state,
    )


@settings(max_examples=150, deadline=None)
@given(subnetwork=subnetworks())
def test_any_subnetwork_survives_exactly(assert_same, subnetwork):
    content = ticket_bytes(subnetwork)
    reread = parse_ticket(content, "mine")
    assert_same(reread, subnetwork)
    assert ticket_bytes(reread) == content


@settings(max_examples=30, deadline=None)
@given(tensor=st.sampled_from(["binary", "continuous"]).flatmap(lambda kind: layers("one", kind)))
def test_the_rebuilt_weights_are_those_of_the_subnetwork_that_was_stored(tensor):
    kind = "continuous" if tensor.gain is None else "binary"
    head = ("conv2", ("a",), 1, 8, (0.0,), (1.0,), 5, kind, 0.5, "layer")
    subnetwork = Subnetwork(*head, tensors=(tensor,))
    content = ticket_bytes(subnetwork)
    reread = parse_ticket(content, "mine")
    for name, weight in subnetwork.weights().items():
        assert array_digest(reread.weights()[name]) == array_digest(weight)
