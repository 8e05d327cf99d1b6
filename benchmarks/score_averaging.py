#!/usr/bin/env python3
"""Whether a subnetwork ranked by averaged scores is better than the last epoch's, from one search.

    python benchmarks/score_averaging.py --arch resnet18 --prune 0.95 --epochs 30 --seeds 0 1 2 \
        --data-root DIR --record benchmarks/records/NAME.json

The default recipe, on images held out of the train split. Scores, and learned batch norms, are kept after
each of the last epochs; after the search the mask is ranked by their mean over the last 5, 10 and 25 % of
them. Batch norm statistics are then another network's: they are estimated afresh for each, as the mean over
`--batches` batches of training images as a search sees them, and for comparison of the last epoch's too.
"""

import argparse
import statistics
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from batch_statistics import estimate
from common.record import write_record
from torch import Tensor

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.searched import searched
from recycle_pipeline.pipeline.device import find_device
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.search import engines
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.eager import evaluate
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.stages.search import settings_of

SHARES = (0.05, 0.1, 0.25)  # of the epochs, the last ones


class KeptSteps(CapturedSteps):
    """The engine; after each epoch what is trained is kept."""

    last: "KeptSteps"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.kept: list[list[Tensor]] = []
        super().__init__(*arguments, **options)
        KeptSteps.last = self

    def train_epoch(self, *arguments: Any) -> Any:
        sums = super().train_epoch(*arguments)
        trained = [*self._masked.scores, *self._masked.others]
        self.kept.append([tensor.detach().clone() for tensor in trained])
        most = max(1, round(max(SHARES) * self._settings.epochs))
        self.kept = self.kept[-most:]
        return sums


def measured(args: argparse.Namespace, images: Any, seed: int) -> dict[str, Any]:
    given = {"arch": args.arch, "prune": args.prune, "epochs": args.epochs, "seed": seed, "data": "cifar10"}
    given |= {"recycle_from": "top"}  # as all networks copied when this was measured
    config = config_from(given | {"data_root": str(args.data_root)}).resolve()
    seen, settings = searched(images, args.hold_out, config.cutout), settings_of(config)
    network = build(
        config.arch,
        classes=len(images.classes),
        channels=images.channels,
        image_size=images.image_size,
        options=config.options,
    )
    device, notes = find_device(args.device), []
    engine = "captured" if device.type == "cpu" else "auto"
    masked = search(network, seen, settings, device, Listeners(note=notes.append), engine=engine)
    steps = KeptSteps.last
    row: dict[str, Any] = {"seed": seed, "notes": notes}
    row["last"] = evaluate(masked.network, seen, device)
    trained = [*masked.scores, *masked.others]
    for name, count in [("last, afresh", 1)] + [
        (f"mean of the last {share:.0%}", max(1, round(share * args.epochs))) for share in SHARES
    ]:
        with torch.no_grad():
            for tensor, *values in zip(trained, *steps.kept[-count:], strict=True):
                tensor.copy_(torch.stack(values).mean(0))
        masked.refresh()
        seen_again = (x for x, _ in steps._training.epoch(settings.batch_size))
        estimate(masked.network, islice(seen_again, args.batches))
        row[name] = evaluate(masked.network, seen, device)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--prune", type=float, default=0.95)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--hold-out", type=int, default=5000)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    engines.CapturedSteps = KeptSteps  # type: ignore[misc]
    images, rows = load("cifar10", data_root=args.data_root), []
    for seed in args.seeds:
        rows.append(measured(args, images, seed))
        print(rows[-1], flush=True)
        given = {k: v for k, v in vars(args).items() if k not in ("record", "data_root")}
        write_record(args.record, __doc__.splitlines()[0], settings=given, rows=rows)
    for name in rows[0]:
        if name not in ("seed", "notes"):
            print(f"{name}: {statistics.mean(row[name] for row in rows):.4f}")


if __name__ == "__main__":
    main()
