"""Why a torchvision data set could not be read, in words that lead to the next step."""

import os
from pathlib import Path
from typing import Any


def explain(name: str, reader: Any, root: Path, folder: str, download: bool, error: Exception) -> str:
    """Finds out what is wrong after torchvision failed; torchvision itself says "not found or corrupted".

    Args:
        name: The data set, as the user wrote it.
        reader: torchvision's class, which lists the files and their MD5 sums.
        root: The data root, absolute.
        folder: torchvision's folder inside the root.
        download: Whether a download was asked for.
        error: What was raised.

    Returns:
        The message: what was looked for and where, what is missing or damaged, what to do.
    """
    where = root / folder
    files = published_files(reader)
    missing = [file for file in files if not os.path.isfile(where / file)]
    if missing and download:
        return (
            f"data set {name!r} could not be downloaded into {where}: {_reason(error)}; expected a network "
            f"connection and a folder that can be written; check both, or copy {', '.join(missing)} into "
            f"{where} and leave out --download"
        )
    if missing:
        lacking = "none is there" if len(missing) == len(files) else f"missing are {', '.join(missing)}"
        return (
            f"data set {name!r} not found: looked in {where} for {', '.join(files)}; {lacking}; "
            f"pass --data-root DIR, where DIR holds {folder}/, or --download"
        )
    failed = f" (--download was tried: {_reason(error)})" if download else ""
    return (
        f"data set {name!r} is damaged: {_damage(where, files, error)} in {where}{failed}; expected the "
        f"published files; delete that folder and run again with --download, or copy intact files there"
    )


def published_files(reader: Any) -> dict[str, str | None]:
    """The files that torchvision reads, each with its MD5 sum; None where it publishes none."""
    if hasattr(reader, "resources"):  # MNIST's kin: sums are of the .gz files, which need not be kept
        return {file.removesuffix(".gz"): None for file, _ in reader.resources}
    meta = reader.meta
    return {**dict([*reader.train_list, *reader.test_list]), meta["filename"]: meta["md5"]}


def _damage(where: Path, files: dict[str, str | None], error: Exception) -> str:
    from torchvision.datasets.utils import check_integrity

    with_sums = [file for file, md5 in files.items() if md5 is not None]
    try:
        wrong = [file for file in with_sums if not check_integrity(where / file, files[file])]
    except OSError as unreadable:
        return _reason(unreadable)
    return f"wrong MD5 sum of {', '.join(wrong)}" if wrong else _reason(error)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
