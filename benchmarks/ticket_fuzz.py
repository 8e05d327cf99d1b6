#!/usr/bin/env python3
"""Feeds the ticket's reader with changed tickets, guided by what of its code they reach.

    python benchmarks/ticket_fuzz.py --cases 2000000 --record benchmarks/records/NAME.json
    python benchmarks/ticket_fuzz.py --minutes 5

Starts from small tickets of every version. A case changes bytes of the file, or fields of the header or the
content of a part with its digests and CRCs put in order again, so that it gets past them. Cases that reach a
line after a line that none reached so before are changed further. A case must be refused by a TicketFault, or
be read. Else, or if it takes more than `--seconds` or `--megabytes`, it is a finding, and its file is kept.
"""

import argparse
import hashlib
import json
import random
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import safetensors.numpy
from common.record import write_record

from recycle_pipeline.exporters import ticket
from recycle_pipeline.exporters.ticket.coding.frames import framed
from recycle_pipeline.exporters.ticket.container import metadata_of, opened
from recycle_pipeline.exporters.ticket.faults import LaterVersion, TicketFault
from recycle_pipeline.exporters.ticket.layout import canonical_json
from recycle_pipeline.exporters.ticket.reader import parse_ticket
from recycle_pipeline.models.subnetwork import Subnetwork

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
CODE = str(Path(ticket.__file__).parent)
NUMBERS = [-1, 0, 1, 2, 7, 8, 255, 256, 257, 2**15, 2**16, 2**30, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30]
VALUES: list[Any] = [None, True, False, "", "a", "0" * 64, 0.5, 1e300, [], {}, [0], [[]], {"a": 1}]
Edges = set[tuple[Any, int, int]]


class Coverage:
    """Which line follows which, in the ticket's code."""

    def __init__(self) -> None:
        self.edges: Edges = set()

    def run(self, work: Callable[[], Any]) -> Any:
        self._last = (None, 0)
        sys.settrace(self._call)
        try:
            return work()
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(CODE) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        code, line = frame.f_code, frame.f_lineno
        self.edges.add((code, self._last[1] if self._last[0] is code else 0, line))
        self._last = (code, line)
        return self._line


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few bytes other, more or fewer."""
    row = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(row) + 1)
        how = rng.randrange(4)
        if how == 0 and place < len(row):
            row[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            row[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif how == 2:
            del row[place : place + rng.randrange(1, 9)]
        else:
            number = rng.choice(NUMBERS) & (2**32 - 1)
            row[place : place + 4] = number.to_bytes(4, "little")
    return bytes(row)


def changed_json(value: Any, rng: random.Random) -> Any:
    """One place of nested JSON other."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        other = value.copy()
        if rng.random() < 0.05:
            del other[key]
        elif rng.random() < 0.05 and isinstance(other, list):
            other.append(value[rng.randrange(len(value))])
        else:
            other[key] = changed_json(value[key], rng)
        return other
    if type(value) is int and rng.random() < 0.7:
        return value + rng.choice((-8, -2, -1, 1, 2, 8, 100))
    if isinstance(value, str) and value and rng.random() < 0.7:
        return "".join(rng.choice((c, c, c, "0", "f", "é")) for c in value)
    return rng.choice([*NUMBERS, *VALUES])


def changed(content: bytes, rng: random.Random) -> bytes:
    """The file, changed in one of three ways."""
    how = rng.random()
    try:
        container = opened(content, "case")
    except (TicketFault, LaterVersion):
        how = 1.0
    if how > 0.9:
        return changed_bytes(content, rng)
    parts = {name: array.tobytes() for name, array in container.parts.items()}
    if container.version < 3 or "header" not in parts:
        head = changed_json(container.head, rng) if rng.random() < 0.7 else container.head
        return safetensors.numpy.save(dict(container.parts), metadata_of(head))
    if how > 0.45:
        name = rng.choice([name for name in parts if name != "header"] or ["header"])
        parts[name] = framed(changed_bytes(parts[name][8:], rng))
    else:
        said = json.loads(zlib.decompress(parts["header"], -zlib.MAX_WBITS))
        parts["header"] = deflated(canonical_json(changed_json(said, rng)).encode())
    if rng.random() < 0.02:
        del parts[rng.choice(list(parts))]
    head = container.head | {"sha256": hashlib.sha256(parts.get("header", b"")).hexdigest()}
    arrays = {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}
    return safetensors.numpy.save(arrays, metadata_of(head))


def deflated(content: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(content) + coder.flush()


class Campaign:
    """Cases, those worth changing further, and what came of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.rng, self.coverage = args, random.Random(args.seed), Coverage()
        self.corpus = [path.read_bytes() for path in sorted(GOLDEN.glob("*.safetensors"))]
        self.outcomes: Counter[str] = Counter()
        self.findings: list[str] = []
        self.slowest, self.largest, self.cases = 0.0, 0, 0

    def run(self) -> None:
        end = time.monotonic() + 60 * self.args.minutes
        for content in self.corpus:
            self.case(content)
        while self.cases < self.args.cases and time.monotonic() < end:
            content = self.rng.choice(self.corpus)
            for _ in range(self.rng.choice((1, 1, 2, 3))):
                try:
                    content = changed(content, self.rng)
                except (ValueError, TypeError, KeyError, AttributeError, zlib.error, RecursionError):
                    content = changed_bytes(content, self.rng)  # what JSON or safetensors cannot spell
            self.case(content)
            if self.cases % 20_000 == 0:
                print(
                    f"{self.cases} cases, {len(self.corpus)} kept, {len(self.coverage.edges)} edges",
                    flush=True,
                )

    def case(self, content: bytes) -> None:
        before, started = len(self.coverage.edges), time.perf_counter()
        measured = self.cases % 50 == 0
        if measured:
            tracemalloc.start()
        outcome = self.coverage.run(lambda: outcome_of(content))
        if measured:
            self.largest = max(self.largest, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        seconds = time.perf_counter() - started
        self.cases += 1
        self.outcomes[outcome] += 1
        if not measured:
            self.slowest = max(self.slowest, seconds)
        if outcome.startswith("!") or seconds > self.args.seconds or self.largest > self.args.megabytes << 20:
            self.findings.append(outcome)
            self.args.findings.mkdir(parents=True, exist_ok=True)
            (self.args.findings / f"{hashlib.sha256(content).hexdigest()[:16]}.safetensors").write_bytes(
                content
            )
            print(f"finding: {outcome}, {seconds:.1f} s, {self.largest >> 20} MB", flush=True)
        if len(self.coverage.edges) > before and len(content) < 50_000:
            self.corpus.append(content)


def outcome_of(content: bytes) -> str:
    try:
        found: Subnetwork = parse_ticket(content, "case")
    except (TicketFault, LaterVersion) as fault:
        return type(fault).__name__
    except Exception as error:
        return f"! {type(error).__name__}: {error}"
    return "read" if found.tensors else "! no layers"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10**12)
    parser.add_argument("--minutes", type=float, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a case may take")
    parser.add_argument("--megabytes", type=int, default=1024, help="that a case may take")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    campaign, started = Campaign(args), time.monotonic()
    campaign.run()
    found = {
        "cases": campaign.cases,
        "seconds": round(time.monotonic() - started),
        "kept": len(campaign.corpus),
        "edges": len(campaign.coverage.edges),
        "outcomes": dict(campaign.outcomes.most_common()),
        "findings": campaign.findings[:100],
        "slowest_seconds": round(campaign.slowest, 3),
        "largest_megabytes": round(campaign.largest / 2**20, 1),
    }
    print(json.dumps(found, indent=1))
    write_record(args.record, __doc__.splitlines()[0], seed=args.seed, **found)
    sys.exit(bool(campaign.findings))


if __name__ == "__main__":
    main()
