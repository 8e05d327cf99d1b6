#!/usr/bin/env python3
r"""Memory of one process over many inferences of `onnx-kernel`, one session.

    PYTHONPATH=.dev python benchmarks/kernel_soak.py --calls 100000 --record FILE TICKET

Resident bytes after every tenth of the calls, batches of 1 and of 3 in turn, and whether the last logits are
those of the first call.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from common.record import write_record
from onnx_forms import made_of

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.forms import write_form
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.rebuild import rebuild

FORM = "onnx-kernel"


def resident() -> int:
    """Bytes of this process in memory, Linux."""
    [line] = [
        each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS:")
    ]
    return 1024 * int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ticket", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images, rebuilt = load(args.data, data_root=args.data_root), rebuild(args.ticket)
    few = normalised(np.asarray(images.test_images[:3]), rebuilt.subnetwork.mean, rebuilt.subnetwork.std)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FORMS[FORM].file
        write_form(FORM, made_of(rebuilt, args.ticket, images, shrink=True), path)
        model = open_session(path, "cpu", args.threads)
        first, grown = model.predict(few), []
        for call in range(args.calls):
            model.predict(few[: 1 + call % 2 * 2])
            if (call + 1) % (args.calls // 10) == 0:
                grown.append(resident())
                print(call + 1, grown[-1], flush=True)
        same = bool(np.array_equal(model.predict(few), first))
    write_record(
        args.record,
        __doc__.splitlines()[0],
        ticket=args.ticket.name,
        calls=args.calls,
        threads=args.threads,
        resident_bytes=grown,
        grown_after_first_tenth=grown[-1] - grown[0],
        same_logits=same,
    )


if __name__ == "__main__":
    main()
