"""SIGINT and SIGTERM: the first signal asks for an orderly end, the second ends the process at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user or the system wants the process to end; the message names the signal."""


class Interrupts:
    """Decides what the first signal does: it raises `Interrupted` unless `taken_by` has set another reaction.

    Attributes:
        came: Whether a signal has come.
    """

    def __init__(self) -> None:
        self.came = False
        self._take: Callable[[str], None] | None = None

    @contextmanager
    def taken_by(self, take: Callable[[str], None]) -> Iterator[None]:
        """Have `take` called with the reason, from a signal handler, in place of the exception."""
        self._take = take
        try:
            yield
        finally:
            self._take = None

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.came = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        reason = f"interrupted by {signal.Signals(number).name}"
        if self._take is None:
            raise Interrupted(reason)
        self._take(reason)


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle both signals in the block; afterwards their previous handlers are restored."""
    interrupts = Interrupts()
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    for each in _SIGNALS:
        signal.signal(each, interrupts._handle)
    try:
        yield interrupts
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
