"""Where this tool keeps what it can make again."""

import os
from pathlib import Path

CACHE_VARIABLE = "RECYCLE_PIPELINE_CACHE"


def cache_folder() -> Path:
    """$RECYCLE_PIPELINE_CACHE, else recycle-pipeline in $XDG_CACHE_HOME, else in ~/.cache; absolute."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(os.path.expanduser(named)).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
        base = os.path.expanduser("~/.cache")
    return Path(base).absolute() / "recycle-pipeline"
