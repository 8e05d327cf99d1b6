#!/usr/bin/env python3
"""Rebuilds tickets on this machine, in numpy and with draws on the torch device, and compares digests.

    python benchmarks/exactness.py --record benchmarks/records/NAME.json TICKET ...

A ticket's digests were taken from the tensors its search computed with, on the machine of the search.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record

from recycle_pipeline.exporters.ticket.digests import agrees
from recycle_pipeline.exporters.ticket.reader import load_ticket, stored_digests
from recycle_pipeline.models.draws import stream_key
from recycle_pipeline.models.draws_torch import draw_weights
from recycle_pipeline.models.subnetwork import MaskedTensor


def on_device(tensor: MaskedTensor, seed: int, device: torch.device) -> "np.ndarray[Any, Any]":
    """The effective weight from draws made on the device."""
    mask = torch.from_numpy(tensor.mask).to(device)
    if tensor.sources is None or tensor.draws is None:
        kept = drawn(tensor, seed, 0, device)[mask]
    else:
        sources = torch.from_numpy(tensor.sources.astype(np.int64)).to(device)
        draws = torch.from_numpy(tensor.draws.copy()).to(device)
        kept = torch.zeros(len(sources), device=device)
        for number in draws.unique().tolist():
            here = draws == number
            kept[here] = drawn(tensor, seed, number, device).reshape(-1)[sources[here]]
    if tensor.gain is not None:
        kept = kept.sign() * float(tensor.gain)
    if tensor.flips is not None:
        kept = torch.where(torch.from_numpy(tensor.flips.copy()).to(device), -kept, kept)
    effective = torch.zeros(tensor.mask.shape, device=device)
    effective[mask] = kept
    return effective.cpu().numpy()


def drawn(tensor: MaskedTensor, seed: int, number: int, device: torch.device) -> torch.Tensor:
    """A whole draw of the layer."""
    key = stream_key(seed, tensor.name, number)
    return draw_weights(key, tuple(tensor.mask.shape), tensor.init, tensor.scale, device)


def check(path: Path, device: torch.device) -> dict[str, Any]:
    """How many tensors of a ticket are equal to their digests, both ways."""
    subnetwork, digests = load_ticket(path), stored_digests(path)
    arrays = subnetwork.arrays()
    equal = sum(agrees(array, digests[name]) for name, array in arrays.items())
    redrawn = sum(
        agrees(on_device(t, subnetwork.seed, device), digests[f"{t.name}.weight"]) for t in subnetwork.tensors
    )
    return {
        "ticket": f"{path.parent.name}/{path.name}",
        "arch": subnetwork.arch,
        "kind": subnetwork.kind,
        "reuse": subnetwork.recipe.get("reuse"),
        "weights": subnetwork.size,
        "kept": subnetwork.kept,
        "moved": sum(t.moved for t in subnetwork.tensors),
        "arrays": len(arrays),
        "equal_in_numpy": equal,
        "layers": len(subnetwork.tensors),
        "equal_on_device": redrawn,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [check(path, device) for path in args.tickets]
    for row in rows:
        print(
            f"{row['ticket']}: {row['equal_in_numpy']} of {row['arrays']} arrays equal in numpy, "
            f"{row['equal_on_device']} of {row['layers']} layers equal from draws on {device}"
        )
    what = "tensors rebuilt from tickets, compared with digests taken during the search"
    write_record(args.record, what, device=str(device), rows=rows)


if __name__ == "__main__":
    main()
