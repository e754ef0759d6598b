"""A bound on what a test may compute: what takes longer than linear time does not end within it."""

from __future__ import annotations

import os
import resource
import traceback
from collections.abc import Callable


def within_cpu_seconds(seconds: int, work: Callable[[], object]) -> None:
    """Do the work in a forked child, which the kernel kills when it has used so much CPU time.

    Args:
        seconds: A generous multiple of what it needs: a bound on the order of growth, not on speed.
        work: What to do; it must not raise.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            work()
            status = 0
        except BaseException:  # noqa: BLE001 -- the end of a forked child, which must not go on as pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert not os.WIFSIGNALED(status), f"it took more than {seconds} CPU seconds"
    assert not status, "it failed: see the traceback above"
