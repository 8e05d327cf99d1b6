#!/usr/bin/env python3
"""How many bytes of masks a low-rank term would save beyond version 4's contexts, what says it included.

    python benchmarks/ticket_low_rank.py --record benchmarks/records/NAME.json TICKET ...

A class of version 4 says the odds of a weight from the seed, the weights before, its filter, channel and
position; all but the first two are sums of a row and a column. Here pairs of a row and a column are added
as products: filters x channels, both of -2 to 2, times a size, the same for all positions of a kernel. A
pair is taken if it saves more than the entropy of its numbers and 3 bytes; then all are improved in turn.
Bytes are entropies, nothing is coded. Linear and 1x1 layers, and those below 256 x 128, are left out.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from recycle_pipeline.exporters.ticket.fitting import contexts_for
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.models.subnetwork import MaskedTensor

LEAST, LEVELS, MOST, PASSES, OVERHEAD = 256 * 128, 2, 24, 3, 3
BYTE = 8 * math.log(2)  # nats


@dataclass
class Pair:
    filters: Tensor
    channels: Tensor
    size: float

    def product(self) -> Tensor:
        return torch.outer(self.filters, self.channels) * self.size


class Layer:
    """A layer's bits, positions x filters x channels, and the log-odds that its classes give them."""

    def __init__(self, tensor: MaskedTensor, seed: int) -> None:
        kept = np.flatnonzero(tensor.mask)
        _, found = contexts_for(tensor, seed, kept, tensor.moved_bits(kept), 64)
        rows, columns = tensor.mask.shape[:2]
        bits = tensor.mask.reshape(rows * columns, -1).T.astype(np.float32)
        classes = np.zeros(bits.shape, np.uint8)
        stages = [stage for which, _, stage, _, _ in found if which == 0]
        for own, stage in zip(classes, stages, strict=True):
            for where, values in stage.runs():
                own[where] = values
        set_, all_ = (
            np.bincount(classes.ravel(), bits.ravel(), 256),
            np.bincount(classes.ravel(), minlength=256),
        )
        share = np.clip((set_ + 0.4) / (all_ + 0.8), 1e-6, 1 - 1e-6)
        odds = np.log(share / (1 - share)).astype(np.float32)[classes]
        self.odds = torch.from_numpy(odds).reshape(-1, rows, columns)
        self.bits = torch.from_numpy(bits).reshape(-1, rows, columns)
        self.pairs: list[Pair] = []

    def loss(self, more: Tensor | float = 0.0) -> Tensor:
        return cross_entropy(self.odds + more, self.bits, reduction="none") / BYTE

    def total(self) -> float:
        said = sum(entropy(pair.filters) + entropy(pair.channels) + OVERHEAD for pair in self.pairs)
        return float(self.loss().sum()) + said

    def improve(self, number: int) -> None:
        """Sets a pair's filters, then its channels, then its size, to what costs least given the rest."""
        pair = self.pairs[number]
        self.odds -= pair.product()
        pair.filters = self._cheapest(pair.filters, pair.channels * pair.size, 1)
        pair.channels = self._cheapest(pair.channels, (pair.filters * pair.size)[:, None], 0)
        sizes = [pair.size * factor for factor in (0.9, 1.0, 1.1)]
        pair.size = min(
            sizes, key=lambda s: float(self.loss(Pair(pair.filters, pair.channels, s).product()).sum())
        )
        self.odds += pair.product()

    def _cheapest(self, values: Tensor, other: Tensor, summed: int) -> Tensor:
        counts = torch.stack([(values == k).sum() + 0.5 for k in range(-LEVELS, LEVELS + 1)])
        prices = -torch.log2(counts / counts.sum()) / 8
        levels = range(-LEVELS, LEVELS + 1)
        costs = [self.loss(other * k).sum((0, 1 + summed)) + prices[k + LEVELS] for k in levels]
        return torch.stack(costs).argmin(0).float() - LEVELS

    def add_pairs(self) -> None:
        best = self.total()
        while len(self.pairs) < MOST:
            before = self.odds.clone()
            self.pairs.append(self._started())
            self.odds += self.pairs[-1].product()
            for _ in range(2):
                self.improve(len(self.pairs) - 1)
            if (now := self.total()) >= best:
                self.odds = before
                self.pairs.pop()
                break
            best = now
        for _ in range(PASSES):
            for number in range(len(self.pairs)):
                self.improve(number)

    def _started(self) -> Pair:
        """By gradients, in real numbers; then rounded."""
        _, rows, columns = self.bits.shape
        u, v = (torch.randn(count).mul(0.1).requires_grad_() for count in (rows, columns))
        optimizer = torch.optim.Adam([u, v], lr=0.05)
        for _ in range(30):
            optimizer.zero_grad()
            loss = cross_entropy(self.odds + torch.outer(u, v), self.bits, reduction="sum")
            (loss + 2 * (u @ u + v @ v)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        u, v = u.detach(), v.detach()
        rounded = [(x / x.std()).round().clamp(-LEVELS, LEVELS) for x in (u, v)]
        return Pair(rounded[0], rounded[1], float(u.std() * v.std()))


def entropy(values: Tensor) -> float:
    """Bytes of these numbers, as likely as they are often."""
    counts = values.unique(return_counts=True)[1].double()
    return float(-(counts * torch.log2(counts / counts.sum())).sum() / 8)


def saved(path: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    ticket, rows = load_ticket(path), []
    for tensor in ticket.tensors:
        if tensor.mask.ndim < 4 or tensor.mask.shape[2] == 1 or math.prod(tensor.mask.shape[:2]) < LEAST:
            continue
        layer = Layer(tensor, ticket.seed)
        before = layer.total()
        layer.add_pairs()
        row = {"layer": tensor.name, "bytes": round(before), "saved": round(before - layer.total())}
        rows.append(row | {"pairs": len(layer.pairs)})
        print(path.name, rows[-1], flush=True)
    return {"ticket": path.name, "saved": sum(row["saved"] for row in rows), "layers": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [saved(path) for path in args.tickets]
    write_record(args.record, (__doc__ or "").splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
