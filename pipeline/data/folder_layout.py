"""Which images lie in a folder, of which class, in which split; nothing is opened here."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.split import every_fifth_is_test

LAYOUTS = "PATH/train/CLASS/* with PATH/test/CLASS/* (or val for test), or PATH/CLASS/*"
_SPLITS = ("train", "test", "val")
Samples = list[tuple[str, int]]  # (path, label), sorted by class, then folder, then file name


@dataclass(frozen=True)
class Listing:
    """The images of a folder: per split their paths and, in the same order, their labels."""

    classes: tuple[str, ...]
    train_paths: tuple[str, ...]
    train_labels: tuple[int, ...]
    test_paths: tuple[str, ...]
    test_labels: tuple[int, ...]

    def without(self, paths: Collection[str]) -> "Listing":
        """The others, each in its split, in the same order."""
        splits = ((self.train_paths, self.train_labels), (self.test_paths, self.test_labels))
        left = [
            [(path, label) for path, label in zip(*split, strict=True) if path not in paths]
            for split in splits
        ]
        (train, train_labels), (test, test_labels) = (
            (tuple(path for path, _ in each), tuple(label for _, label in each)) for each in left
        )
        return Listing(self.classes, train, train_labels, test, test_labels)


def list_images(root: Path, given: str) -> Listing:
    """Finds classes and images as torchvision's ImageFolder does, but skips hidden files and folders.

    1. `train`, `test` or `val` hold class folders, or two of them exist: the split is the user's.
       `test` is preferred over `val`.
    2. Otherwise the folders in `root` are classes (one may be called `train`), and the images of each
       class at positions 0, 5, 10, ... of the sorted paths are test.

    Args:
        root: The folder, absolute.
        given: The folder as the user wrote it, for messages.

    Returns:
        At least two classes, each with at least one image in both splits.

    Raises:
        UsageFault: If `root` is no folder, classes or images are missing, or the splits' classes differ.
    """
    if not given or not os.path.isdir(root):
        raise UsageFault(
            f"folder:{given} leads to {root if given else 'nothing'}, which is no folder; expected "
            f"{LAYOUTS}; correct the path"
        )
    present = [split for split in _SPLITS if os.path.isdir(root / split)]
    if len(present) > 1 or any(_folders(root / split) for split in present):
        return _given_split(root, present)
    return _made_split(root)


def _given_split(root: Path, present: Sequence[str]) -> Listing:
    if "train" not in present or len(present) < 2:
        raise UsageFault(
            f"{root} holds {', '.join(split + '/' for split in present)} only; expected {LAYOUTS}; add the "
            f"other split, or pass the folder whose folders are the classes"
        )
    folders = root / "train", root / present[1]  # test comes before val
    names = [_classes(folder) for folder in folders]
    if names[0] != names[1]:
        lacking = "; ".join(
            f"{folder} lacks {', '.join(sorted(set(other) - set(mine)))}"
            for folder, mine, other in zip(folders, names, reversed(names), strict=True)
            if set(other) - set(mine)
        )
        raise UsageFault(
            f"the splits differ: {lacking}; expected the same classes in both; add or remove them"
        )
    train, test = (_samples(folder, names[0]) for folder in folders)
    return _listing(names[0], train, test)


def _made_split(root: Path) -> Listing:
    names = _classes(root)
    samples = _samples(root, names)
    labels = np.array([label for _, label in samples], dtype=np.int64)
    single = [name for name, count in zip(names, np.bincount(labels), strict=True) if count == 1]
    if single:
        raise UsageFault(
            f"one image only in {root} of {_class_list(single)}; expected two or more, as every fifth "
            f"becomes a test image; add images or remove the class"
        )
    test = every_fifth_is_test(labels)
    return _listing(
        names,
        [sample for sample, in_test in zip(samples, test, strict=True) if not in_test],
        [sample for sample, in_test in zip(samples, test, strict=True) if in_test],
    )


def _listing(names: Sequence[str], train: Samples, test: Samples) -> Listing:
    train_paths, train_labels = zip(*train, strict=True)
    test_paths, test_labels = zip(*test, strict=True)
    return Listing(tuple(names), train_paths, train_labels, test_paths, test_labels)


def _folders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones such as .ipynb_checkpoints."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise UsageFault(
            f"{folder} cannot be listed: {error}; expected {LAYOUTS}; correct its rights"
        ) from error


def _classes(folder: Path) -> list[str]:
    names = _folders(folder)
    if len(names) < 2:
        found = f"one class folder ({names[0]})" if names else "no class folder"
        raise UsageFault(
            f"{folder} holds {found}; expected two or more: {LAYOUTS}; pass the folder above them"
        )
    foreign = [name for name in names if not _is_unicode(name)]
    if foreign:
        raise UsageFault(f"class names in {folder} are not UTF-8: {foreign!a}; rename those folders")
    return names


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the file system's bytes came as lone surrogates
        return False
    return True


def _samples(folder: Path, names: Sequence[str]) -> Samples:
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    def is_image(path: str) -> bool:
        return path.lower().endswith(IMG_EXTENSIONS) and not os.path.basename(path).startswith(".")

    labels = {name: label for label, name in enumerate(names)}
    samples: Samples = make_dataset(str(folder), labels, is_valid_file=is_image, allow_empty=True)
    empty = sorted(set(labels.values()) - {label for _, label in samples})
    if empty:
        raise UsageFault(
            f"no image in {folder} of {_class_list([names[label] for label in empty])}; expected files that "
            f"end in {', '.join(IMG_EXTENSIONS)}; add images or remove the folder"
        )
    return samples


def _class_list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"class{'es' if len(names) > 1 else ''} {', '.join(names[:10])}{more}"
