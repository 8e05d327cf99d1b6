"""The stages in order, the configuration, the run folder and the command.

>>> from recycle_pipeline.pipeline import run, reconstruct
"""

from recycle_pipeline.models.telemetry import turn_off
from recycle_pipeline.pipeline.api import reconstruct, run

__all__ = ["reconstruct", "run"]

turn_off()  # before a program that imports this imports ONNX Runtime
