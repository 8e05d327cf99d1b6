"""Draws as random numbers: moments, distribution and independence of 1e6 of them.

Every bound is 5 standard errors, or the 1e-6 quantile of the Kolmogorov-Smirnov statistic. Seeds are
fixed, so these tests pass or fail for good; the bounds say how surprising a failure would be.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from recycle_pipeline.models.draws import INITS, bits_at, stream_key, weights_at
from recycle_pipeline.models.draws_torch import draw_picks

N = 1_000_000
KEY = stream_key(12, "layer1.0.conv1")
VARIANCE = {"kaiming_normal": 1.0, "kaiming_uniform": 1 / 3, "signed_constant": 1.0}  # at scale 1
FOURTH = {"kaiming_normal": 3.0, "kaiming_uniform": 1 / 5, "signed_constant": 1.0}  # moment


def sample(init, key=KEY, count=N):
    return weights_at(key, np.arange(count), init, np.float32(1)).astype(np.float64)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("scale", [1.0, 0.0625])
def test_mean_and_variance_are_those_of_the_init(init, scale):
    values = weights_at(KEY, np.arange(N), init, np.float32(scale)).astype(np.float64) / scale
    assert abs(values.mean()) < 5 * math.sqrt(VARIANCE[init] / N)
    spread = math.sqrt((FOURTH[init] - VARIANCE[init] ** 2) / N)
    assert abs((values**2).mean() - VARIANCE[init]) < 5 * spread + 2e-5  # the table's own 1e-5


@pytest.mark.parametrize(
    ("init", "distribution"),
    [
        ("kaiming_normal", lambda x: torch.special.ndtr(torch.from_numpy(x)).numpy()),
        ("kaiming_uniform", lambda x: (x + 1) / 2),
    ],
)
def test_the_whole_distribution_is_that_of_the_init(init, distribution):
    ranks = distribution(np.sort(sample(init)))
    steps = np.arange(N + 1) / N
    distance = max(np.abs(ranks - steps[:-1]).max(), np.abs(ranks - steps[1:]).max())
    assert distance * math.sqrt(N) < 2.7  # exceeded with probability 1e-6


def test_a_signed_constant_has_two_values():
    assert set(np.unique(sample("signed_constant", count=1000))) == {-1.0, 1.0}


def test_uniform_magnitudes_lie_strictly_within_the_bound():
    values = np.abs(sample("kaiming_uniform"))
    assert 0 < values.min() < 1e-5
    assert 1 - 1e-5 < values.max() < 1


def test_streams_of_layers_draws_purposes_and_seeds_are_uncorrelated():
    keys = [
        stream_key(0, "conv1"),
        stream_key(0, "conv2"),
        stream_key(0, "conv1", 1),
        stream_key(0, "conv1", purpose="score"),
        stream_key(1, "conv1"),
    ]
    count = 200_000
    streams = [sample("kaiming_normal", key, count) for key in keys]
    for a, b in itertools.combinations(streams, 2):
        assert abs((a * b).mean()) < 5 / math.sqrt(count)


@pytest.mark.parametrize("lag", [1, 2, 3, 9, 64, 576])
def test_neighbours_in_a_stream_are_uncorrelated(lag):
    values = sample("kaiming_normal", count=200_000)
    assert abs((values[lag:] * values[:-lag]).mean()) < 5 / math.sqrt(values.size - lag)


def test_each_of_the_64_bits_is_fair():
    words = bits_at(KEY, np.arange(200_000, dtype=np.uint64))
    ones = [int(((words >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(64)]
    assert max(abs(count - 100_000) for count in ones) < 5 * math.sqrt(200_000) / 2


@pytest.mark.parametrize("probability", [0.01, 0.1, 0.5, 0.9])
def test_picks_have_the_probability_asked_for(probability, device):
    picked = draw_picks(stream_key(0, "conv1", 1, "pick"), (1000, 1000), probability, device)
    error = math.sqrt(probability * (1 - probability) / N)
    assert picked.shape == (1000, 1000)
    assert abs(float(picked.double().mean()) - probability) < 5 * error
