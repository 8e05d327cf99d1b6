"""A state dict out of a file, without running any code that the file may hold."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from recycle_pipeline.exporters.ticket.layout import METADATA_KEY
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault

SAFETENSORS = ".safetensors"
TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and its kin, and of torch.compile
SLACK = 1 << 20  # bytes that a zip's entries may take beyond the file's own size

StateDict = dict[str, Tensor]


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a state dict by name, on the CPU; names without what wrappers put before them.

    A checkpoint that holds the state dict beside other things is searched for it.

    Args:
        path: ends in .safetensors, or in .pt, .pth, .bin, .ckpt or .tar for what torch.save wrote.

    Raises:
        UsageFault: no such file, another suffix, a ticket, or a checkpoint without or with several state
            dicts, or with objects that are not plain data.
        CorruptArtefact: the file is damaged.
    """
    if path.suffix not in (SAFETENSORS, *TORCH):
        known = ", ".join((SAFETENSORS, *TORCH))
        raise UsageFault(f"{path}: expected a run folder, or a state dict in a file that ends in {known}")
    if not path.is_file():
        raise UsageFault(f"there is no file {path}: expected a run folder or a state dict")
    content = _safetensors(path) if path.suffix == SAFETENSORS else _state_dict_in(_torch_file(path), path)
    return _unwrapped(content, path)


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        if METADATA_KEY in metadata:
            raise UsageFault(f"{path} is a ticket already; `recycle-pipeline inspect {path}` shows it")
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise CorruptArtefact(f"{path} is not a whole safetensors file: {error}") from error


def _torch_file(path: Path) -> Any:
    _check_zip(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is refused, or read safely, all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises anything on bytes that it does not expect
        if objects := _objects(path):
            raise UsageFault(
                f"{path} holds objects besides tensors and plain data ({', '.join(objects)}), and reading "
                "them would run code of the file's; if you trust it, store its tensors alone: "
                "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pt')"
            ) from error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CorruptArtefact(f"{path} is not a whole file of torch.save: {reason}") from error


def _check_zip(path: Path) -> None:
    """Refuses a zip whose entries would unpack to more than the file holds; torch stores them as they are."""
    try:
        with zipfile.ZipFile(path) as file:
            claimed = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # the format of old torch, or no file of torch's: torch.load says
    if claimed > path.stat().st_size + SLACK:
        raise CorruptArtefact(
            f"{path} would unpack to {claimed:,} bytes from {path.stat().st_size:,}: torch.save does not pack"
        )


def _objects(path: Path) -> list[str]:
    """Names of what torch will not load, where that is what is wrong."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (OSError, RuntimeError, ValueError, KeyError, IndexError, EOFError, pickle.UnpicklingError):
        return []


def _state_dict_in(content: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise UsageFault(f"{path} holds a {type(content).__name__}; expected a state dict: names to tensors")
    if _is_state_dict(content):
        return content
    nested = {name: value for name, value in content.items() if _is_state_dict(value)}
    if len(nested) == 1:
        return next(iter(nested.values()))
    found = ", ".join(sorted(map(str, nested))) if nested else "none"
    raise UsageFault(
        f"{path} is a checkpoint, and of its entries {found} are state dicts; expected one. Store the one "
        "you mean alone: torch.save(torch.load(FILE)['state_dict'], 'weights.pt')"
    )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and any(isinstance(tensor, Tensor) and tensor.ndim for tensor in value.values())
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _unwrapped(content: Mapping[str, Any], path: Path) -> StateDict:
    tensors: StateDict = {}
    for name, tensor in content.items():
        for wrapper in WRAPPERS * 2:
            name = name.removeprefix(wrapper)
        if name in tensors:
            raise UsageFault(f"{path} has {name!r} twice, with and without a wrapper's {WRAPPERS[0]!r}")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise UsageFault(f"{path}: {name!r} is sparse, quantized or empty; expected a plain tensor")
        tensors[name] = tensor.detach()
    return tensors
