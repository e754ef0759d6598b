"""Waits for a database that does not answer: trainings go on meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from search.errors import StorageError
from search.shared.database import Unreachable

_RETRY_SECONDS: Final = 1.0

_Result = TypeVar("_Result")


class Patience:
    """Calls again and again until the database answers.

    Args:
        seconds: The longest time to wait.
        say: Shows a message to the user.
        lost: Is called when the database has not answered.

    Attributes:
        say: As above; may be replaced.
    """

    def __init__(self, seconds: float, say: Callable[[str], None], lost: Callable[[], None]) -> None:
        self.say = say
        self._seconds = seconds
        self._lost = lost
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Do not wait any more; safe to call from a signal handler."""
        self._given_up.set()

    def call(self, action: Callable[[], _Result]) -> _Result:
        """Return what a call returns when the database answers.

        Raises:
            StorageError: It has not answered for long, or the user does not want to wait.
        """
        began, told = time.monotonic(), False
        for attempt in itertools.count():
            try:
                result = action()
            except Unreachable as error:
                if not error.is_busy:
                    self._lost()
                waited = time.monotonic() - began
                if waited > self._seconds or self._given_up.is_set():
                    raise StorageError(f"the database has not answered for {waited:.0f} s: {error}") from error
                if not attempt and not error.is_busy:
                    continue  # the server closes a connection that is idle for long
                if not told:
                    self.say(f"warning: {error}; trainings go on, and the search waits for the database")
                    told = True
                self._given_up.wait(_RETRY_SECONDS)
            else:
                if told:
                    self.say("the database answers again")
                return result
        raise AssertionError("it counts without end")
