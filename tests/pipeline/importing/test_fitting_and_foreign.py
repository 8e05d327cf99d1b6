"""Tensors against an architecture; weights as masks, signs and gains: exact, or refused with the reason."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.importing.fitting import fitted
from recycle_pipeline.pipeline.importing.foreign import held, signed_tensor


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False), nn.Flatten(), nn.Linear(8, 3))


def state(**changes):
    tensors = network().state_dict() | changes
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def test_what_fits_is_taken_in_the_networks_order_without_counters():
    tensors = dict(reversed(state().items()))
    found = fitted(tensors, network(), "net")
    names = ["0.weight", "0.bias", "1.running_mean", "1.running_var", "3.weight", "3.bias"]
    assert list(found) == names
    assert all(np.array_equal(found[name], tensors[name].numpy()) for name in names)


def test_a_1x1_convolution_stands_for_a_linear_layer():
    weight = torch.randn(3, 8)
    found = fitted(state(**{"3.weight": weight.view(3, 8, 1, 1)}), network(), "net")
    assert np.array_equal(found["3.weight"], weight.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_where_no_value_changes(dtype):
    weight = (torch.randint(-8, 8, (3, 8)) / 8).to(dtype)
    found = fitted(state(**{"3.weight": weight}), network(), "net")["3.weight"]
    assert found.dtype == np.float32 and np.array_equal(found, weight.to(torch.float32).numpy())


def test_every_mismatch_has_a_line():
    tensors = state(
        **{"0.weight": None, "3.weight": torch.ones(3, 9), "1.weight": torch.ones(2), "x": torch.ones(1)}
    )
    with pytest.raises(UsageFault) as caught:
        fitted(tensors, network(), "net")
    lines = str(caught.value).splitlines()
    assert lines[0] == "the file does not fit --arch net:"
    assert lines[1:5] == [
        "  0.weight: not in the file, expected (2, 1, 3, 3)",
        "  1.weight: in the file, (2,), and not in the architecture (--batch-norm learned has it)",
        "  x: in the file, (1,), and not in the architecture",
        "  3.weight: of shape (3, 9), expected (3, 8)",
    ]
    assert lines[5].startswith("expected every tensor of the architecture and no other")


def test_many_mismatches_are_cut_short():
    with pytest.raises(UsageFault, match="and 28 more"):
        fitted({f"x{n}": torch.ones(1) for n in range(34)}, network(), "net")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            torch.full((3, 8), 1e-60, dtype=torch.float64),
            "its torch.float64 values are not all numbers of torch",
        ),
        (torch.full((3, 8), torch.inf), "has values that are not finite"),
        (torch.full((3, 8), torch.nan), "has values that are not finite"),
    ],
)
def test_values_that_would_change_or_are_none_are_refused(value, words):
    with pytest.raises(UsageFault, match=f"3.weight: {words}"):
        fitted(state(**{"3.weight": value}), network(), "net")


def test_a_view_of_one_number_that_claims_many_is_refused_by_its_shape():
    with pytest.raises(UsageFault, match=r"of shape \(1000000, 1000000\)"):
        fitted(state(**{"3.weight": torch.ones(1).expand(10**6, 10**6)}), network(), "net")


WEIGHTS = st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0]), min_size=1, max_size=60)
GAINS = st.floats(2**-149, 2.0**127, width=32)


@settings(max_examples=200, deadline=None)
@given(WEIGHTS, GAINS, st.integers(0, 2**63 - 1))
def test_signed_constants_of_any_origin_come_back_bit_for_bit(signs, gain, seed):
    weight = np.array(signs, np.float32) * np.float32(gain)
    tensor = signed_tensor("layer", weight, seed)
    assert (tensor.weights(seed) + 0.0).tobytes() == (weight + np.float32(0)).tobytes()
    assert tensor.kept == np.count_nonzero(weight)


def signs(shape, gain, seed=0):
    return (np.random.default_rng(seed).integers(-1, 2, shape) * gain).astype(np.float32)


ARRAYS = {
    "a.weight": signs((4, 3), 0.3),
    "b.weight": np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32),
    "b.bias": np.ones(5, np.float32),
}


def test_a_layer_of_many_magnitudes_is_refused_with_the_reason_and_what_helps():
    with pytest.raises(UsageFault) as caught:
        held(ARRAYS, ["a", "b"], 0)
    text = str(caught.value)
    assert "  b: 20 magnitudes from " in text and "  a:" not in text
    for words in (
        "one gain g for the layer",
        "--method biprop",
        "--unmasked LAYER",
        "recycle-pipeline search",
    ):
        assert words in text


def test_a_layer_that_the_user_names_is_stored_as_it_is():
    found = held(ARRAYS, ["a", "b"], 5, unmasked=["b"])
    assert [tensor.name for tensor in found.tensors] == ["a"]
    assert found.state.keys() == {"b.weight", "b.bias"}
    assert found.state["b.weight"].tobytes() == ARRAYS["b.weight"].tobytes()


def test_an_unmasked_layer_must_be_there_and_one_must_be_left():
    with pytest.raises(UsageFault, match="--unmasked c: no such layer; expected one of a, b"):
        held(ARRAYS, ["a", "b"], 0, unmasked=["c"])
    with pytest.raises(UsageFault, match="nothing is left for a ticket to mask"):
        held(ARRAYS, ["a", "b"], 0, unmasked=["a", "b"])


def test_a_layer_of_zeros_is_pruned_whole():
    found = held({"a.weight": np.zeros((2, 2), np.float32), "b.weight": signs((2, 2), 1)}, ["a", "b"], 0)
    assert found.tensors[0].kept == 0 and not found.tensors[0].weights(0).any()
