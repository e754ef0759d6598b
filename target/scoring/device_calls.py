"""Calls of a GPU's driver that may never return: a card that hangs must not hang the scorer.

Nothing can interrupt such a call, so each runs in a thread, which is left behind if it does not return. The process
that holds the scorer does not watch from outside instead: it cannot tell a card that hangs from a long training, and
the evaluation would be repeated on the same card if it killed the scorer.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Final, TypeVar

from target.boundary.device_memory import DeviceMemoryError
from target.errors import TargetError
from target.feedback import CandidateFailure
from target.in_thread import run_in_thread

_LIMIT_SECONDS: Final = 300.0  # these calls take milliseconds, or seconds beside a model that uses the whole card
_EXPECTED: Final = (DeviceMemoryError, CandidateFailure, RuntimeError)  # torch raises kinds of RuntimeError

_Result = TypeVar("_Result")


class DeviceCalls:
    """Waits for calls, one at a time; after the first that does not return, all fail at once.

    Args:
        limit_seconds: How long a call may take.
    """

    def __init__(self, limit_seconds: float = _LIMIT_SECONDS) -> None:
        self.limit_seconds = limit_seconds
        self._trouble = ""

    def run(self, what: str, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call.

        Args:
            what: What it does, for the message.
            call: The call; what it raises is raised here.

        Raises:
            TargetError: It, or an earlier one, has not returned.
        """
        if self._trouble:
            raise TargetError(self._trouble)
        result = run_in_thread(call, expected=_EXPECTED, name="device")
        concurrent.futures.wait([result], timeout=self.limit_seconds)
        if not result.done():
            self._trouble = (
                f"a GPU must answer within {self.limit_seconds:g} s, and this one has not when it was to {what}; "
                "look for Xid in the kernel's log (`dmesg`), reset the card or restart the machine, then resume"
            )
            raise TargetError(self._trouble)
        return result.result()
