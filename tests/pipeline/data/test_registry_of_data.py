"""The one entry point: names, refusals, and that importing it is cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import KNOWN, load


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("cifar-10", "cifar10"),
        ("CIFAR100", "cifar100"),
        ("fashionmnist", "fashion-mnist"),
        ("fashion_mnist", "fashion-mnist"),
        ("MNIST", "mnist"),
        ("digit", "digits"),
    ],
)
def test_a_misspelt_name_leads_to_the_right_one(typed: str, meant: str) -> None:
    with pytest.raises(UsageFault) as caught:
        load(typed)
    assert f"unknown data set {typed!r}" in str(caught.value)
    assert f"did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize("typed", ["", "imagenet-22k", "📷", "a" * 10_000])
def test_an_unknown_name_is_answered_with_all_known_names(typed: str) -> None:
    with pytest.raises(UsageFault) as caught:
        load(typed)
    assert ", ".join(KNOWN) in str(caught.value)


def test_a_bare_path_leads_to_the_folder_prefix(tmp_path: Path) -> None:
    with pytest.raises(UsageFault) as caught:
        load(str(tmp_path))
    assert f"did you mean folder:{tmp_path}?" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.startswith("folder:")])
def test_a_fixed_size_cannot_be_changed(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"--image-size 9 was given .* leave out --image-size"):
        load(name, image_size=9, data_root=tmp_path)


def test_the_native_size_may_be_named() -> None:
    assert load("digits", image_size=8).image_size == 8


def test_the_exit_code_of_a_refusal_is_2() -> None:
    with pytest.raises(UsageFault) as caught:
        load("nope")
    assert caught.value.exit_code == 2


def test_importing_the_package_imports_no_heavy_library() -> None:
    script = (
        "import sys, recycle_pipeline.pipeline.data\n"
        "print(*{'torch', 'torchvision', 'sklearn', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
