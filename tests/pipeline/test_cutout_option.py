"""--cutout: each training image loses a square; nothing else sees it."""

import pytest

from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.runner import default_folder

LINE = ("search", "--arch", "conv2", "--epochs", "1", "--seed", "3")


def test_a_search_with_it_is_another_and_is_recorded(command, here):
    masks = []
    for cutout in (0, 3):
        outcome = command(*LINE, "--cutout", cutout, "--output-dir", f"cut{cutout}")
        assert outcome.code == 0, outcome.err
        folder = RunFolder(here / f"cut{cutout}")
        masks.append(folder.searched.read_bytes())
        assert read_manifest(folder.manifest).stages["search"].config.get("cutout", 0) == cutout
    assert masks[0] != masks[1]


@pytest.mark.parametrize(
    ("cutout", "said"),
    [
        (-1, "--cutout -1: expected at least 0"),
        (8, "--cutout 8 would hide whole images of 8 pixels a side; expected fewer, for example 4"),
    ],
)
def test_one_that_cannot_be_is_refused_before_anything_is_written(command, tree, cutout, said):
    outcome = command(*LINE, "--cutout", cutout)
    assert outcome.code == 2 and outcome.err.startswith(f"Error: {said}")
    assert tree() == {}


def test_without_it_no_folder_is_named_otherwise():
    plain, zero, some = (RunConfig(**given).resolve() for given in ({}, {"cutout": 0}, {"cutout": 3}))
    assert default_folder(plain) == default_folder(zero) != default_folder(some)
