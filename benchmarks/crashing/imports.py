"""A process that has all imports, from which commands are forked."""

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

from crashing.scenarios import SCENARIOS

OF_THEIR_OWN = ("large folder", "pack a file")  # scenarios that import what a run does not


def with_imports(work: Path, names: set[str]) -> None:
    """Runs commands once in this process: what it imports is there in all that are forked."""
    import recycle_pipeline.pipeline.data.folder as folder
    import recycle_pipeline.pipeline.stages.verify as verify

    verify.LATENCY_SECONDS = 0.0  # times are not looked at
    folder.STREAM_ABOVE = 0  # photos are few here
    before = os.getcwd()
    for name in {name if name in OF_THEIR_OWN else "run" for name in names}:
        here = work / "warm" / name
        here.mkdir(parents=True)
        SCENARIOS[name].prepare(here)
        os.chdir(here)
        os.environ["RECYCLE_PIPELINE_CACHE"] = str(here / "cache")
        sys.stdout.flush()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                command([*SCENARIOS[name].line, "--quiet"])
        except SystemExit as stop:
            if stop.code:
                raise
        finally:
            os.chdir(before)
    shutil.rmtree(work / "warm")


def command(line: list[str]) -> None:
    from recycle_pipeline.pipeline.cli import main

    main(line)
