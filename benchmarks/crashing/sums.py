"""What shares of a campaign found together."""

import json
from collections import Counter
from pathlib import Path
from typing import Any


def added_up(records: list[Path]) -> dict[str, Any]:
    """Of records of shares, each of which ran other cases of the same scenarios.

    Raises:
        SystemExit: a share is there twice, or one is missing.
    """
    found = [json.loads(record.read_text()) for record in records]
    shares = sorted(each["share"] for each in found)
    if shares != [[number, len(found)] for number in range(1, len(found) + 1)]:
        raise SystemExit(f"these are the shares {shares}, expected each of {len(found)} once")
    names = list(found[0]["scenarios"])
    scenarios = {name: _scenario([each["scenarios"][name] for each in found]) for name in names}
    sums: dict[str, Any] = {name: sum(each[name] for each in found) for name in ("cases", "killed")}
    sums |= {"cases_that_failed": sum(each["cases_that_failed"] for each in found)}
    sums |= {"seconds": max(each["seconds"] for each in found), "processes": len(found)}
    sums |= {"cpu_seconds": round(sum(each["cpu_seconds"] for each in found), 1), "seed": found[0]["seed"]}
    return sums | {"environment_of_shares": found[0]["environment"], "scenarios": scenarios}


def _scenario(shares: list[dict[str, Any]]) -> dict[str, Any]:
    """One scenario; `operations` are those of an undisturbed command, in each share."""
    kinds: Counter[str] = Counter()
    for each in shares:
        kinds.update(each["by_kind"])
    largest = ("operations", "seconds_whole", "slowest_end_seconds")
    found: dict[str, Any] = {name: max(each[name] for each in shares) for name in largest}
    found |= {name: sum(each[name] for each in shares) for name in ("cases", "killed")}
    failures = [one for each in shares for one in each["failures"]]
    return found | {"by_kind": dict(kinds), "failures": failures}
