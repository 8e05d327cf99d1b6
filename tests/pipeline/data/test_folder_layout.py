"""Which layouts of `folder:PATH` are understood, and what is said of the others. Files are empty here."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.folder_layout import Listing, list_images


def touch(root: Path, *files: str) -> None:
    """Creates empty files; a name that ends in / creates a folder."""
    for file in files:
        path = root / file
        (path if file.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not file.endswith("/"):
            path.touch()


def names(root: Path, paths: Sequence[str]) -> list[str]:
    return [str(Path(path).relative_to(root)) for path in paths]


def listing(root: Path) -> Listing:
    return list_images(root, given=str(root))


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_given_split_is_kept(split: str, tmp_path: Path) -> None:
    touch(
        tmp_path, "train/b/1.png", "train/a/1.jpg", "train/a/0.PNG", f"{split}/a/2.png", f"{split}/b/2.webp"
    )
    found = listing(tmp_path)
    assert found.classes == ("a", "b")
    assert names(tmp_path, found.train_paths) == ["train/a/0.PNG", "train/a/1.jpg", "train/b/1.png"]
    assert found.train_labels == (0, 0, 1)
    assert names(tmp_path, found.test_paths) == [f"{split}/a/2.png", f"{split}/b/2.webp"]
    assert found.test_labels == (0, 1)


def test_test_is_preferred_over_val(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{name}/0.png" for split in ("train", "val", "test") for name in "ab"))
    assert names(tmp_path, listing(tmp_path).test_paths) == ["test/a/0.png", "test/b/0.png"]


def test_without_a_split_every_fifth_by_path_is_test(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a/{index}.png" for index in range(7)), "b/x.png", "b/sub/y.png")
    found = listing(tmp_path)
    assert names(tmp_path, found.test_paths) == ["a/0.png", "a/5.png", "b/x.png"]
    assert names(tmp_path, found.train_paths) == [*(f"a/{i}.png" for i in (1, 2, 3, 4, 6)), "b/sub/y.png"]
    assert found.train_labels == (0, 0, 0, 0, 0, 1)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{index}.png" for name in ("car", "plane", "train") for index in range(2)))
    assert listing(tmp_path).classes == ("car", "plane", "train")


def test_hidden_and_foreign_files_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{index}.png" for name in "ab" for index in range(2)))
    touch(tmp_path, "a/._0.png", "a/.DS_Store", "b/notes.txt", ".ipynb_checkpoints/x.png", "README.md")
    found = listing(tmp_path)
    assert found.classes == ("a", "b")
    assert len(found.train_paths) + len(found.test_paths) == 4


REFUSALS: list[tuple[list[str], str]] = [
    ([], "holds no class folder; expected two or more"),
    (["0.png", "1.png"], "holds no class folder"),
    (["a/0.png", "a/1.png"], "holds one class folder (a)"),
    (
        ["a/0.png", "a/1.png", "b/0.gif", "b/"],
        "no image in {root} of class b; expected files that end in .jpg",
    ),
    (["a/0.png", "a/1.png", "b/0.png"], "one image only in {root} of class b;"),
    (["a/0.png", "b/0.png", "c/0.png", "c/1.png"], "one image only in {root} of classes a, b;"),
    (["train/a/0.png", "train/b/0.png"], "holds train/ only"),
    (["test/a/0.png", "test/b/0.png"], "holds test/ only"),
    (["test/a/0.png", "test/b/0.png", "val/a/0.png", "val/b/0.png"], "holds test/, val/ only"),
    (["train/0.png", "test/0.png"], "{root}/train holds no class folder"),
    (["train/a/0.png", "test/a/0.png"], "{root}/train holds one class folder (a)"),
    (["train/a/0.png", "train/b/0.png", "test/"], "{root}/test holds no class folder"),
    (
        ["train/a/0.png", "train/b/0.png", "test/a/0.png", "test/b/"],
        "no image in {root}/test of class b;",
    ),
    (
        [*(f"train/{name}/0.png" for name in "abc"), *(f"val/{name}/0.png" for name in "acd")],
        "{root}/train lacks d; {root}/val lacks b",
    ),
    (
        [*(f"train/{name}/0.png" for name in "abc"), *(f"test/{name}/0.png" for name in "ab")],
        "the splits differ: {root}/test lacks c;",
    ),
]


@pytest.mark.parametrize(("files", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_a_layout_that_cannot_be_meant_is_refused(files: list[str], message: str, tmp_path: Path) -> None:
    touch(tmp_path, *files)
    with pytest.raises(UsageFault) as caught:
        listing(tmp_path)
    assert message.replace("{root}", str(tmp_path)) in str(caught.value)
    assert "; expected " in str(caught.value)


@pytest.mark.parametrize("given", ["", "missing", "file"])
def test_a_path_that_is_no_folder_is_refused(given: str, tmp_path: Path) -> None:
    touch(tmp_path, "file")
    with pytest.raises(
        UsageFault, match=f"folder:{given} leads to .* no folder; expected .* correct the path"
    ):
        list_images(tmp_path / given, given=given)


def test_a_class_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/0.png", "a/1.png")
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/b\xff")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UsageFault, match="not UTF-8") as caught:
        listing(tmp_path)
    str(caught.value).encode()  # the message itself must be printable
