"""Says what a search is doing while nothing else is shown: preparing text, fitting a model, importing MLflow."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, Final, Self

FIRST_SECONDS: Final = 4.0
"""Silence after which something is said."""
_LOOK_SECONDS: Final = 1.0
_MINUTE_SECONDS: Final = 60.0


class Busy:
    """Calls `show` with what is being done and for how long, about once a second, until its block ends.

    Args:
        text: What is being done.
        show: Shows it; called from a thread of its own.
        look_seconds: Time between two calls.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        text: str,
        show: Callable[[str, float], None],
        *,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._text = text
        self._show = show
        self._look_seconds = look_seconds
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="busy", daemon=True)

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(self._look_seconds):
            self._show(self._text, self._clock() - self._began)


def print_line(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class SparseLines:
    """Writes a line every few seconds, and after a minute once a minute: for files, which keep every line.

    Phases follow one another, and a reader counts the silence over all of them: it is that of the whole process.

    Args:
        write: Gets each line, without its end.
        clock: Monotonic seconds.
    """

    _spoke_at: ClassVar[float] = time.monotonic()

    def __init__(
        self, write: Callable[[str], None] = print_line, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._text = ""
        self._next_seconds = FIRST_SECONDS

    def show(self, text: str, seconds: float) -> None:
        """Write the line if it is time for one."""
        if text != self._text:
            silent_before = max(0.0, self._clock() - seconds - SparseLines._spoke_at)
            self._text, self._next_seconds = text, max(0.0, FIRST_SECONDS - silent_before)
        if seconds >= self._next_seconds:
            self._next_seconds = seconds + (FIRST_SECONDS if seconds < _MINUTE_SECONDS else _MINUTE_SECONDS)
            SparseLines._spoke_at = self._clock()
            self._write(f"{text}: {seconds:.0f} s")
