"""A campaign: cases, those of them that are worth changing further, and what came of all."""

import hashlib
import json
import random
import resource
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.changes import changed, changed_bytes
from fuzzing.coverage import Coverage
from fuzzing.drafts import Draft
from fuzzing.seeds import seeds

from recycle_pipeline.exporters import ticket
from recycle_pipeline.exporters.ticket.faults import LaterVersion, TicketFault
from recycle_pipeline.exporters.ticket.reader import parse_ticket, parse_verified
from recycle_pipeline.exporters.ticket.sizes import sizes_of

CODE = str(Path(ticket.__file__).parent)
MOST_BYTES = 50_000  # of a case that is changed further
MOST_REBUILT = 1 << 20  # weights
MEASURED = 50  # every so many cases their memory is
WEIGHTS = {"NotATicket": 0.02, "LaterVersion": 0.02, "HeaderFault": 0.1, "LimitFault": 0.1}
EARLIER = 0.3  # weight of versions 1 and 2
UNSPELLED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, zlib.error)


class Campaign:
    """Goes on where the last one with the same folder stopped.

    Attributes:
        found: what the record says of it.
    """

    def __init__(self, folder: Path, seed: int, seconds: float, megabytes: int) -> None:
        self._folder, self._seconds = folder, seconds
        self._coverage = Coverage(CODE)
        self._corpus: list[tuple[bytes, Draft | None]] = []
        self._weights: list[float] = []
        self.found: dict[str, Any] = {"cases": 0, "cpu_seconds": 0.0, "findings": [], "seed": seed}
        self.found |= {"slowest_seconds": 0.0, "largest_megabytes": 0.0, "process_grew_megabytes": 0.0}
        self.found |= {"outcomes": {}, "reader_sha256": _reader()}
        (folder / "findings").mkdir(parents=True, exist_ok=True)
        (folder / "corpus").mkdir(exist_ok=True)
        self._state = folder / "state.json"
        if self._state.is_file():
            self.found = json.loads(self._state.read_text())
        self._outcomes = Counter(self.found["outcomes"])
        before = sorted((folder / "corpus").iterdir())
        for content in [*seeds(), *(path.read_bytes() for path in before)]:
            self._keep(content, outcome_of(content), _cost(content))
        self._base = _peak()
        # A case that takes more fails for want of memory, and that is a finding.
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        self._hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (held + (megabytes << 20), self._hard))
        self._rng = random.Random(f"{seed} {self.found['cases']}")

    def lift(self) -> None:
        """Lets the process take memory again: a record looks at torch, which needs more than a case may."""
        resource.setrlimit(resource.RLIMIT_AS, (self._hard, self._hard))

    def run(self, cases: int, minutes: float, wrote: Callable[[dict[str, Any]], None]) -> None:
        """Until there are as many cases, or for so long. `wrote` gets what was found, every 20,000 cases."""
        end, started = time.monotonic() + 60 * minutes, time.process_time()
        before = self.found["cpu_seconds"]

        def tell() -> None:
            self.found |= {"cpu_seconds": round(before + time.process_time() - started, 1)}
            self.found |= {"kept": len(self._corpus), "lines_and_branches": len(self._coverage.seen)}
            self.found["outcomes"] = dict(self._outcomes.most_common())
            self._state.write_text(json.dumps(self.found))
            wrote(self.found)

        while self.found["cases"] < cases and time.monotonic() < end:
            self._case(self._made())
            if self.found["cases"] % 20_000 == 0:
                tell()
        tell()

    def _made(self) -> bytes:
        (content, draft), (_, other) = self._rng.choices(self._corpus, cum_weights=self._weights, k=2)
        if draft is None or other is None or self._rng.random() < 0.05:
            return changed_bytes(content, self._rng)
        try:
            for _ in range(self._rng.choice((1, 1, 2, 3))):
                draft = changed(draft, other, self._rng)
            return draft.content()
        except UNSPELLED:  # what JSON or safetensors cannot spell
            return changed_bytes(content, self._rng)

    def _case(self, content: bytes) -> None:
        before, found = len(self._coverage.seen), self.found
        measured = found["cases"] % MEASURED == 0
        if measured:
            tracemalloc.start()
        started = time.perf_counter()
        outcome = outcome_of(content)
        seconds = time.perf_counter() - started
        if seconds > self._seconds or (not measured and seconds > found["slowest_seconds"]):
            seconds = min(seconds, _cost(content))  # others may have held the core, or stopped this process
        if measured:
            for what, taken in (
                ("largest_megabytes", tracemalloc.get_traced_memory()[1]),
                ("process_grew_megabytes", max(0, _peak() - self._base)),
            ):
                found[what] = max(found[what], round(taken / 2**20, 1))
            tracemalloc.stop()
        else:
            found["slowest_seconds"] = max(found["slowest_seconds"], round(seconds, 3))
        found["cases"] += 1
        self._outcomes[outcome if outcome[0] != "!" else "finding"] += 1
        if outcome[0] == "!" or seconds > self._seconds:
            self._report(content, f"{outcome}, {seconds:.1f} s")
        if len(self._coverage.seen) > before and len(content) < MOST_BYTES:
            self._keep(content, outcome, seconds)
            (self._folder / "corpus" / _name(content)).write_bytes(content)

    def _keep(self, content: bytes, outcome: str, seconds: float) -> None:
        """Those that are cheap, and those that get far, are changed more often."""
        try:
            draft = Draft.of(content)
        except (TicketFault, LaterVersion, *UNSPELLED):
            draft = None
        weight = WEIGHTS.get(outcome, 1.0) / (seconds + 1e-4)
        if draft is None or draft.header is None:
            weight *= EARLIER
        self._corpus.append((content, draft))
        self._weights.append((self._weights or [0.0])[-1] + weight)

    def _report(self, content: bytes, what: str) -> None:
        self.found["findings"].append(f"{_name(content)}: {what}")
        (self._folder / "findings" / _name(content)).write_bytes(content)
        print(f"finding: {what}", flush=True)


def outcome_of(content: bytes) -> str:
    """What reading gives: the class of the refusal, or `read`; a finding begins with an exclamation mark."""
    try:
        subnetwork = parse_ticket(content, "case")
        if not subnetwork.tensors:
            return "! no layers"
        sizes_of(content, [tensor.name for tensor in subnetwork.tensors])
        if subnetwork.size <= MOST_REBUILT:
            again, arrays = parse_verified(content, "case")
            for each in (subnetwork, again):
                if any(array.tobytes() != arrays[name].tobytes() for name, array in each.arrays().items()):
                    return "! rebuilt in two ways"
        return "read"
    except (TicketFault, LaterVersion) as fault:
        return type(fault).__name__
    except Exception as error:
        return f"! {type(error).__name__}: {error}"


def _cost(content: bytes) -> float:
    """CPU seconds; the least of three times."""
    found = []
    for _ in range(3):
        started = time.process_time()  # dear in itself: 0.2 ms
        outcome_of(content)
        found.append(time.process_time() - started)
    return min(found)


def _peak() -> int:
    """Bytes that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reader() -> str:
    """Of the code that is fed, for the record."""
    files = sorted(Path(CODE).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
