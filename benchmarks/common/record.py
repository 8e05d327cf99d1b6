"""What a benchmark leaves in records/: what was measured, how, when and where, and what came out."""

import json
import os
import platform
import sys
from datetime import date
from pathlib import Path
from typing import Any

from recycle_pipeline.evaluators.machine import cpu_model
from recycle_pipeline.pipeline.environment import PACKAGES, describe_environment, installed_version
from recycle_pipeline.pipeline.version import VERSION


def write_record(path: Path | None, what: str, **found: Any) -> None:
    """Writes the record of the command that runs, as JSON; nothing where no path was asked for."""
    if path is None:
        return
    record = {
        "what": what,
        "command": " ".join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "environment": describe_environment() if installed_version("torch") else _without_torch(),
        **found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def _without_torch() -> dict[str, Any]:
    """What `describe_environment` says, where tickets alone are read."""
    versions = {name: version for name in PACKAGES if (version := installed_version(name))}
    return {
        "recycle-pipeline": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "packages": versions,
    }
