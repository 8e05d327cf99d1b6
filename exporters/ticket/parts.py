"""The parts of a ticket of version 3 or 4; one that cannot be decoded is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.faults import PartFault

T = TypeVar("T")


class Parts:
    """Of one ticket, whose file has this name."""

    def __init__(self, container: Container) -> None:
        self._container, self.name = container, container.name

    def decoded(self, part: str, work: Callable[[bytes], T]) -> T:
        """What `work` makes of the part's bytes. Raises PartFault if it cannot."""
        with self.named(part):
            return work(self._container.parts[part].tobytes())

    @contextmanager
    def named(self, part: str) -> Iterator[None]:
        """Turns what is raised about values into a fault of the part."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            raise PartFault(self._container.name, part, str(error)) from error
