"""One seed, one subnetwork: on a CPU with one thread, to the byte."""

import dataclasses
import json

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.reader import load_ticket

SEARCH = ("search", "--arch", "conv2", "--width", "0.25", "--epochs", "4", "--batch-size", "16", "--quiet")
TIMES = {"seconds", "images_per_second"}


@pytest.fixture
def search(command, here, write_photos):
    photos = write_photos()

    def run(name, *options):
        outcome = command(*SEARCH, "--data", f"folder:{photos}", "--output-dir", name, *options)
        assert outcome.code == 0, outcome.err
        return here / name

    return run


def metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--subnetwork", "continuous", "--reuse", "rerandomize"),
        ("--scope", "global", "--init", "kaiming_uniform"),
    ],
    ids=" ".join,
)
def test_two_searches_with_one_seed_are_byte_equal_and_measure_the_same(search, options):
    first, second = search("first", *options), search("second", *options)
    assert (first / "search.safetensors").read_bytes() == (second / "search.safetensors").read_bytes()
    assert len(metrics(first)) == 4 and metrics(first) == metrics(second)


def test_another_seed_finds_another_mask_of_the_same_counts(search):
    masks = []
    for seed in (0, 1):
        subnetwork = load_ticket(search(f"seed{seed}", "--seed", seed) / "search.safetensors")
        assert subnetwork.seed == seed
        masks.append([tensor.mask for tensor in subnetwork.tensors])
    for one, other in zip(*masks, strict=True):
        assert np.count_nonzero(one) == np.count_nonzero(other) and not np.array_equal(one, other)


def test_the_largest_seed_is_searched_and_stored(search):
    assert load_ticket(search("large", "--seed", 2**63 - 1) / "search.safetensors").seed == 2**63 - 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--momentum", "0.5"),
        ("--weight-decay", "0.05"),
        ("--learning-rate", "0.5"),
        ("--label-smoothing", "0.5"),
        ("--warmup", "2"),
        ("--init", "signed_constant"),
        ("--scope", "global"),
        ("--allocation", "uniform"),
        ("--batch-size", "8"),
        ("--subnetwork", "continuous"),
    ],
)
def test_each_setting_reaches_the_search(search, option, value):
    """A setting that is recorded but not used would give the same subnetwork."""
    plain, changed = (
        load_ticket(search(name, *more) / "search.safetensors")
        for name, more in (("plain", ()), ("changed", (option, value)))
    )
    same = all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for one, other in zip(plain.tensors, changed.tensors, strict=True)
        for field in dataclasses.fields(one)
    )
    assert not same


@pytest.mark.parametrize(
    ("options", "share", "events"),
    [
        (("--reuse", "none"), 0, []),
        (("--reuse-rate", "0.5"), 0.5, [3]),
        (("--reuse-period", "1"), 0.2, [2, 3]),
        (("--epochs", "6", "--reuse-rate", "0.25"), 0.25, [3, 5]),
    ],
    ids=str,
)
def test_reuse_happens_at_the_asked_rate_and_epochs(search, options, share, events):
    folder = search("run", *options)
    sizes = [tensor.size for tensor in load_ticket(folder / "search.safetensors").tensors]
    written = {record["epoch"]: record["written"] for record in metrics(folder) if record["written"]}
    assert written == dict.fromkeys(events, sum(int(share * size) for size in sizes))
