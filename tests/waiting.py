"""Waiting for what another process or thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Return once the condition is true. Between two looks there is a pause, which leaves the CPU to the other.

    Raises:
        AssertionError: It was not true within these seconds, far more than are needed.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it was not true within {seconds} s"
        threading.Event().wait(0.02)
