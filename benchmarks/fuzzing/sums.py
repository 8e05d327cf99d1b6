"""What campaigns in folders of their own found together."""

import json
from collections import Counter
from pathlib import Path
from typing import Any


def added_up(folders: list[Path], largest: tuple[str, ...]) -> dict[str, Any]:
    """Cases, CPU seconds, outcomes and findings of all, and each of them.

    Args:
        folders: of campaigns, which hold a `state.json`.
        largest: numbers of which the largest counts, not the sum.
    """
    found = [json.loads((folder / "state.json").read_text()) for folder in folders]
    outcomes: Counter[str] = Counter()
    for each in found:
        outcomes.update(each["outcomes"])
    sums = {name: round(sum(each[name] for each in found), 1) for name in ("cases", "cpu_seconds")}
    most = {name: max(each[name] for each in found) for name in largest}
    findings = [finding for each in found for finding in each["findings"]]
    return {**sums, **most, "findings": findings, "outcomes": dict(outcomes), "campaigns": found}
