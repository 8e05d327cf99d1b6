"""What two subnetworks share: counts against those worked out by hand, and chance against exact sums."""

import dataclasses
import subprocess
import sys
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from recycle_pipeline.evaluators.overlap import chance, overlaps, state_differences, total
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

A = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
B = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
NONE = np.zeros((2, 4), bool)


def layer(mask, name="conv", **changed):
    return MaskedTensor(name, "kaiming_normal", np.float32(0.5), mask, **changed)


def network(*tensors, seed=0, state=None):
    return Subnetwork(
        arch="conv2",
        classes=("no", "yes"),
        channels=1,
        image_size=4,
        mean=(0.5,),
        std=(0.5,),
        seed=seed,
        kind="continuous",
        prune=0.5,
        scope="layer",
        tensors=tensors,
        state=state or {},
    )


def one(a, b):
    (found,) = overlaps(network(layer(a)), network(layer(b)))
    return found


def test_counts_are_those_worked_out_by_hand():
    found = one(A, B)
    assert (found.size, found.kept_a, found.kept_b, found.both) == (8, 3, 4, 2)
    assert (found.hamming, found.jaccard, found.masks_equal) == (3, 2 / 5, False)
    assert found.both_by_chance == 3 * 4 / 8
    assert found.jaccard_by_chance == 1.5 / (3 + 4 - 1.5)
    assert (found.same_sign, found.sign_agreement) == (2, 1.0)  # one seed: one value in one place


def test_a_subnetwork_is_equal_to_itself():
    found = one(A, A.copy())
    assert found.masks_equal and found.weights_equal
    assert (found.hamming, found.jaccard, found.sign_agreement) == (0, 1.0, 1.0)


def test_equal_masks_over_other_draws_have_other_weights():
    (found,) = overlaps(network(layer(A)), network(layer(A), seed=1))
    assert found.masks_equal and not found.weights_equal


def test_weights_differ_if_one_bit_does():
    gains = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    (found,) = overlaps(*(network(layer(A, gain=gain)) for gain in gains))
    assert found.masks_equal and not found.weights_equal and found.sign_agreement == 1.0


def test_signs_are_compared_where_both_keep():
    flips = np.array([False, True])
    ones = [layer(A & B, gain=np.float32(1), flips=f) for f in (None, flips)]
    (found,) = overlaps(*map(network, ones))
    assert (found.both, found.same_sign, found.sign_agreement) == (2, 1, 0.5)


def test_nothing_kept_has_no_index_and_no_signs():
    found = one(NONE, NONE)
    assert found.masks_equal and found.weights_equal and found.hamming == 0
    assert (found.jaccard, found.jaccard_by_chance, found.sign_agreement) == (None, None, None)
    half = one(A, NONE)
    assert (half.jaccard, half.jaccard_by_chance, half.sign_agreement) == (0.0, 0.0, None)


def test_the_total_adds_counts_and_expected_counts_up():
    a = network(layer(A), layer(~NONE, "head"))
    b = network(layer(B), layer(A, "head"))
    whole = total(overlaps(a, b))
    assert (whole.size, whole.kept_a, whole.kept_b, whole.both) == (16, 11, 7, 5)
    assert whole.both_by_chance == 1.5 + 3
    assert whole.hamming == 3 + 5 and whole.jaccard_by_chance == 4.5 / (11 + 7 - 4.5)
    assert not whole.masks_equal and not whole.weights_equal


@pytest.mark.parametrize("size", [1, 2, 5, 12, 25])
def test_chance_is_the_hypergeometric_mean_and_its_index_close_below_the_expected_one(size):
    """As the docstring of `chance` says: by less than 1 / 2n, whatever the counts."""
    for kept_a in range(size + 1):
        for kept_b in range(not kept_a, size + 1):
            overlap = range(max(0, kept_a + kept_b - size), min(kept_a, kept_b) + 1)
            ways = comb(size, kept_b)
            odds = {k: Fraction(comb(kept_a, k) * comb(size - kept_a, kept_b - k), ways) for k in overlap}
            both = sum(k * p for k, p in odds.items())
            assert chance(size, kept_a, kept_b) == pytest.approx(float(both))
            expected = sum(k * p / (kept_a + kept_b - k) for k, p in odds.items())
            assert 0 <= expected - both / (kept_a + kept_b - both) < Fraction(1, 2 * size)


def test_masks_drawn_at_random_share_what_chance_says():
    generator = np.random.default_rng(0)
    a, b = (generator.random((500, 400)) < density for density in (0.1, 0.3))
    found = one(a, b)
    assert found.jaccard == pytest.approx(found.jaccard_by_chance, rel=0.02)


def test_other_arrays_are_compared_by_bits_and_names():
    zero = np.zeros(2, np.float32)
    a = {"same": zero, "sign": zero, "only_a": zero, "nan": zero * np.nan}
    b = {"same": zero.copy(), "sign": -zero, "only_b": zero, "nan": zero * np.nan}
    assert state_differences(network(state=a), network(state=b)) == ["only_a", "only_b", "sign"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([layer(A, "stem")], "masked layer 1 is 'conv' in A and 'stem' in B: expected tickets of one arch"),
        ([layer(A[:1])], "layer 'conv' has shape 2 x 4 in A and 1 x 4 in B: expected tickets of one arch"),
        (
            [layer(A), layer(A, "head")],
            "A has 1 masked layers and B has 2; the first that only one has is 'head': expected tickets",
        ),
    ],
)
def test_networks_of_other_layers_or_shapes_are_refused_by_the_first_difference(tensors, message):
    with pytest.raises(UsageFault) as caught:
        overlaps(network(layer(A)), network(*tensors))
    assert str(caught.value).startswith(message)


def test_more_layers_in_a_are_found_too():
    a = network(layer(A), layer(A, "head"))
    with pytest.raises(UsageFault, match=r"^A has 2 masked layers and B has 1.*'head'"):
        overlaps(a, dataclasses.replace(a, tensors=a.tensors[:1]))


def test_it_needs_numpy_alone():
    code = """
import sys
for name in ("torch", "onnx", "onnxruntime", "click"):
    sys.modules[name] = None
import recycle_pipeline.evaluators.overlap
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
