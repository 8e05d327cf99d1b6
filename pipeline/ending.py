"""Ctrl-C and SIGTERM: the end of a command, in order where that is quick, and soon in any case.

Python calls a signal's handler only between two of its own instructions: within a long call of a library, or
while it waits for a slow disk, a command would not end. So a thread hears of the signal as well, by the
system's own handler (signal.set_wakeup_fd), and ends the process after a while. That harms no more than
SIGKILL does: nothing that is unfinished counts as finished.
"""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import NoReturn, Self

from recycle_pipeline.pipeline.processes import several, speaks

GRACE_SECONDS = 4.0
INTERRUPTED = (
    "Interrupted. Finished stages are kept, and a search up to its last checkpoint; the same command "
    "goes on from there."
)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Ending:
    """Within its `with` block both signals raise KeyboardInterrupt, and a second one ends the process.

    Of several processes each keeps what the one that started them expects: there it does nothing. Nor does it
    in another thread than the main one, where Python allows no handlers.

    Attributes:
        code: with which a process leaves that was interrupted: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self) -> None:
        self.code = CODES[signal.SIGINT]
        self._heard = False
        self._here = threading.current_thread() is threading.main_thread() and not several()

    def __enter__(self) -> Self:
        if not self._here:
            return self
        # One that is ignored, as of a job in the background, stays so.
        wanted = [each for each in CODES if signal.getsignal(each) != signal.SIG_IGN]
        self._before = {each: signal.signal(each, self._raise) for each in wanted}
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._over = threading.Event()
        threading.Thread(target=self._watch, args=(reader,), name="ending", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._here or self._heard:  # an interrupted process is watched until it has left
            return
        self._over.set()
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._writer)

    def _raise(self, number: int, frame: FrameType | None) -> NoReturn:
        again, self._heard = self._heard, True
        self.code = CODES[signal.Signals(number)]
        if again:
            self._leave()
        raise KeyboardInterrupt

    def _watch(self, reader: int) -> None:
        """Waits for a signal that is ours, then for the process to leave, but not for long."""
        while numbers := os.read(reader, 1):
            if numbers[0] in self._before:
                self.code = CODES[signal.Signals(numbers[0])]
                if not self._over.wait(GRACE_SECONDS):
                    self._leave()
                break
        os.close(reader)

    def _leave(self) -> NoReturn:
        if speaks():
            os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(self.code)
