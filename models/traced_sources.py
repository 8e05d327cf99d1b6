"""The source text that torch.fx keeps of every graph it compiles, and how it goes again."""

import linecache
from collections.abc import Iterator
from contextlib import contextmanager

from torch.fx import graph_module


@contextmanager
def sources_let_go() -> Iterator[None]:
    """Drops the text of graphs made within, which torch.fx otherwise keeps until the process ends.

    It serves the lines of tracebacks alone. Graphs that were there before, as of a compiled search, keep
    theirs. Where another torch keeps it elsewhere, this does nothing.
    """
    sources = getattr(getattr(graph_module, "_loader", None), "eval_cache", {})
    before = set(sources)
    try:
        yield
    finally:
        for name in sources.keys() - before:
            del sources[name]
            linecache.cache.pop(name, None)
