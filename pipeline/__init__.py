"""The stages in order, the configuration, the run folder and the command.

>>> from recycle_pipeline.pipeline import run, reconstruct
"""

from recycle_pipeline.pipeline.api import reconstruct, run

__all__ = ["reconstruct", "run"]
