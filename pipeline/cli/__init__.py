"""The command line: `recycle-pipeline`. Only this package knows click."""

import sys

from recycle_pipeline.pipeline.ending import Ending
from recycle_pipeline.pipeline.processes import end, leave, speaks
from recycle_pipeline.pipeline.waiting import wait_suitably


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and exits, see `app.main`; its imports can be interrupted as well."""
    with Ending() as ending:
        try:
            wait_suitably()
            from recycle_pipeline.pipeline.cli import app
        except KeyboardInterrupt:
            if speaks():
                print("Interrupted.", file=sys.stderr)
            leave(ending.code)
        app.main(arguments, ending)


def process() -> None:
    """`main` with the process's arguments, and its end."""
    try:
        main()
    except SystemExit as leaving:
        if isinstance(leaving.code, int):
            end(leaving.code)
        raise


__all__ = ["main", "process"]
