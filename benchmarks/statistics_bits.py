#!/usr/bin/env python3
"""What rounding batch norm's numbers does to a ticket: its bytes, and its network's accuracy.

    python benchmarks/statistics_bits.py --record benchmarks/records/NAME.json TICKET ...
    python benchmarks/statistics_bits.py --data cifar10 --data-root DIR --images 2000 --bits 8,4 TICKET ...

For each number of bits of the fractions: bytes of the ticket and of its state, top-1 of the network in torch
on the first `--images` of the test split, how many keep their top-1, and the largest change of a logit.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.rounding import FRACTION, with_rounded_statistics
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.subnetwork import Subnetwork
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised

BATCH = 250


def logits_of(subnetwork: Subnetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    network = assemble(subnetwork)
    parts = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            pixels = normalised(images[first : first + BATCH], subnetwork.mean, subnetwork.std)
            parts.append(network(torch.from_numpy(pixels)).numpy())
    return np.concatenate(parts)


def rows_of(path: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    root = Path(args.data_root) if args.data_root else None
    images = load(args.data, data_root=root, download=False, image_size=None, say=print)
    pixels, labels = images.test_images[: args.images], images.test_labels[: args.images]
    searched, rows, lossless = load_ticket(path), [], None
    for bits in [FRACTION, *map(int, args.bits.split(","))]:
        subnetwork = searched if bits == FRACTION else with_rounded_statistics(searched, bits)
        content, logits = ticket_bytes(subnetwork), logits_of(subnetwork, pixels)
        lossless = logits if lossless is None else lossless
        right = logits.argmax(1) == labels
        rows.append(
            {
                "ticket": path.name,
                "bits": bits,
                "bytes": len(content),
                "state_bytes": sizes_of(content, [tensor.name for tensor in subnetwork.tensors]).state,
                "n": len(labels),
                "correct": int(right.sum()),
                "top1": float(right.mean()),
                "top1_agreement": float((logits.argmax(1) == lossless.argmax(1)).mean()),
                "max_difference": float(np.abs(logits - lossless).max()),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root")
    parser.add_argument("--images", type=int, help="of the test split, the first; all if not given")
    parser.add_argument("--bits", default="12,8,6,4,3,2,1")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = [row for path in args.tickets for row in rows_of(path, args)]
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
