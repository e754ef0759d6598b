"""The first step of a forked child: it confines itself, and reports the layers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from target.errors import TargetError
from target.sandbox import Confinement, confine


def enter(confinement: Confinement, *, log_fd: int, keep_fds: Sequence[int], report_fd: int) -> None:
    """Confine the calling process, freshly forked, or end it.

    Args:
        confinement: What it may use.
        log_fd: Becomes its stdout and stderr.
        keep_fds: Further descriptors that stay open.
        report_fd: Gets the layers in force, or why there are none, as one line of JSON; closed on return.
    """
    try:
        layers = confine(confinement, log_fd=log_fd, keep_fds=(*keep_fds, report_fd))
    except (OSError, TargetError) as error:
        os.write(report_fd, json.dumps({"error": f"a child could not be confined: {error}"}).encode())
        os._exit(70)
    os.write(report_fd, json.dumps({"isolation": layers}).encode())
    os.close(report_fd)


def open_streams() -> None:
    """Open the standard streams again, on the descriptors that the child has now."""
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
