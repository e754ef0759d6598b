"""SIGINT and SIGTERM: the first signal asks for an orderly end, the second ends the process at once.

In an interactive Python, such as the kernel of a notebook, the second one ends the search only.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user or the system wants the process to end; the message names the signal."""


class Interrupts:
    """Decides what the first signal does: it raises `Interrupted` unless `taken_by` has set another reaction.

    Args:
        then: What handles a second signal.

    Attributes:
        came: Whether a signal has come.
    """

    def __init__(self, then: Mapping[signal.Signals, Any]) -> None:
        self.came = False
        self._then = then
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
        for each, handler in self._then.items():
            signal.signal(each, handler)
        reason = f"interrupted by {signal.Signals(number).name}"
        if self._take is None:
            raise Interrupted(reason)
        self._take(reason)


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle both signals in the block; afterwards their previous handlers are restored.

    Only the main thread of a process gets signals: in another one nothing is handled.
    """
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    is_interactive = hasattr(sys, "ps1")
    interrupts = Interrupts(before if is_interactive else dict.fromkeys(_SIGNALS, signal.SIG_DFL))
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    for each in _SIGNALS:
        signal.signal(each, interrupts._handle)
    try:
        yield interrupts
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
