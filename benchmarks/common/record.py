"""What a benchmark leaves in records/: what was measured, how, when and where, and what came out."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from recycle_pipeline.pipeline.environment import describe_environment


def write_record(path: Path | None, what: str, **found: Any) -> None:
    """Writes the record of the command that runs, as JSON; nothing where no path was asked for."""
    if path is None:
        return
    record = {
        "what": what,
        "command": " ".join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "environment": describe_environment(),
        **found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
