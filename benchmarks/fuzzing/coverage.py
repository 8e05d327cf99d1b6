"""What of the ticket's code ran: its lines, and the ways its branches went.

By `sys.monitoring` (PEP 669) where Python has it, from 3.12 on: a line, or a branch that has gone both ways,
is switched off once it was seen, so that code which ran before costs little. Else every line is traced, which
takes four times as long or more.
"""

import sys
from types import CodeType
from typing import Any

from fuzzing.traced import Lines

LINE = -1  # in place of where a branch went


class Coverage:
    """Of the code below a folder, from now on.

    Attributes:
        seen: lines and branches, (code, line, -1) and (code, from, to).
    """

    def __init__(self, folder: str) -> None:
        if not hasattr(sys, "monitoring"):
            lines = Lines((folder,))
            self.seen = lines.seen
            lines.start()
            return
        self.seen = set[tuple[CodeType, int, int]]()
        self._folder, self._first_ways = folder, dict[tuple[CodeType, int], int]()
        on, events = sys.monitoring, sys.monitoring.events
        on.use_tool_id(on.COVERAGE_ID, "ticket_fuzz")
        on.register_callback(on.COVERAGE_ID, events.LINE, self._line)
        on.register_callback(on.COVERAGE_ID, events.BRANCH, self._branch)
        on.set_events(on.COVERAGE_ID, events.LINE | events.BRANCH)

    def _line(self, code: CodeType, line: int) -> Any:
        if code.co_filename.startswith(self._folder):
            self.seen.add((code, line, LINE))
        return sys.monitoring.DISABLE

    def _branch(self, code: CodeType, place: int, to: int) -> Any:
        if not code.co_filename.startswith(self._folder):
            return sys.monitoring.DISABLE
        self.seen.add((code, place, to))
        first = self._first_ways.setdefault((code, place), to)
        return None if first == to else sys.monitoring.DISABLE
