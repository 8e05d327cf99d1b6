"""Values that no stage writes are damage of the run folder, wherever a report first stumbles over them."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from recycle_pipeline.models.errors import CorruptArtefact

# What arithmetic, look-ups and drawing raise where a number is a text, a list, zero or far too large.
STUMBLES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def values_of_stages(roots: Sequence[Path]) -> Iterator[None]:
    """For reading and drawing runs: their manifest, verify.json and metrics are JSON that anyone may edit.

    Their form is checked where they are read; that each number is one which a network can have is not.

    Raises:
        CorruptArtefact: with the run folders and what was stumbled over.
    """
    try:
        yield
    except STUMBLES as stumble:
        last = traceback.extract_tb(stumble.__traceback__)[-1]
        said = (str(stumble).splitlines() or ["nothing said"])[0][:200]
        what = f"{type(stumble).__name__} in {Path(last.filename).name}, line {last.lineno}: {said}"
        raise CorruptArtefact(
            f"{', '.join(map(str, roots))}: manifest.json, verify.json or metrics.jsonl holds a value that "
            f"no stage writes ({what}). Run the stages again, or restore the files. If "
            "nothing but recycle-pipeline wrote them, report this as a fault of it."
        ) from stumble
