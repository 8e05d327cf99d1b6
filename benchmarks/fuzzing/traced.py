"""Lines of chosen code that ran, by sys.settrace: for readers that need packages which run on any Python."""

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Lines:
    """Of the code of some files and folders.

    Attributes:
        seen: pairs of lines that ran one after the other, by code: which way was taken shows in them.
    """

    def __init__(self, code: tuple[str, ...]) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()
        self._code, self._ours = code, dict[CodeType, bool]()

    def during(self, call: Callable[[], Any]) -> Any:
        """Calls, and adds what ran."""
        sys.settrace(self._begin)
        try:
            return call()
        finally:
            sys.settrace(None)

    def start(self) -> None:
        """Adds what runs from now on."""
        sys.settrace(self._begin)

    def _begin(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = code.co_filename.startswith(self._code)
        if not ours:
            return None
        last = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                self.seen.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line
