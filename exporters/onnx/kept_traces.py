"""Lets go of what torch would keep of each export for as long as the process lives.

Seen in torch 2.14: 0.13 MB for each export of five layers (`benchmarks/export_growth.py` shows it
without code of ours):

1. The batch's symbol belongs to a `ShapeEnv`, whose methods cache results by it (functools.lru_cache).
2. It holds the traced inputs. The size of their storage holds it in turn, by a reference of C++ that Python's
   collector does not see, and with it the shapes of every operator.
3. The source of each traced graph stays, for the lines of tracebacks (`models/traced_sources.py`).
4. Each setting that torch changes for a while leaves a variable in the thread's context: 2 kB an export.
"""

import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from torch.fx.experimental.symbolic_shapes import ShapeEnv

from recycle_pipeline.models.traced_sources import sources_let_go


def forgetting(export: Callable[[], Any]) -> Any:
    """What `export` gives, an ONNXProgram or None; its ONNX model stays as it is, its graph's source goes.

    Where another torch keeps these things elsewhere, nothing is let go, and nothing else changes.
    """
    try:
        with sources_let_go():  # 3
            program = contextvars.copy_context().run(export)  # 4
        for symbols in _symbols(program):
            symbols.tracked_fakes = None  # 2
        return program
    finally:
        for method in vars(ShapeEnv).values():
            if clear := getattr(method, "cache_clear", None):
                clear()  # 1


def _symbols(program: Any) -> Iterator[ShapeEnv]:
    exported = getattr(program, "exported_program", None)
    for node in exported.graph.nodes if exported is not None else ():
        mode = getattr(node.meta.get("val"), "fake_mode", None)
        if mode is not None and mode.shape_env is not None:
            yield mode.shape_env
