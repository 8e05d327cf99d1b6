"""The command line: `recycle-pipeline`. Only this package knows click."""

from recycle_pipeline.pipeline.cli.app import main

__all__ = ["main"]
