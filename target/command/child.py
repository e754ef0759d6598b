"""The code of a forked child for a command: it confines itself, then becomes the command. Its imports are fast."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from target.command.job import CommandJob
from target.inside.entry import enter

_NOT_FOUND = 127  # the exit status of shells


def become(record: Mapping[str, Any], fds: list[int], report_fd: int) -> NoReturn:
    """Turn the calling process, freshly forked, into a command; it never returns.

    Args:
        record: The job, as `CommandJob.to_json` writes it.
        fds: The log's pipe.
        report_fd: Gets the layers in force as one line of JSON, and is closed before the command runs.
    """
    job = CommandJob.from_json(record)
    enter(job.confinement, log_fd=fds[0], keep_fds=(), report_fd=report_fd)
    try:
        os.chdir(job.confinement.workspace / "out")
        os.execvpe(job.command[0], job.command, dict(job.environment))
    except OSError as error:
        os.write(2, f"cannot run {job.command[0]!r}: {error}\n".encode())
    os._exit(_NOT_FOUND)
