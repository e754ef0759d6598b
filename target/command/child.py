"""What a forked child does for a command: confine itself, then become it. Imports nothing that takes time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from target.boundary.job import CommandJob
from target.inside.entry import enter
from target.sandbox import Confinement
from target.sandbox.grants import libraries

_NOT_FOUND = 127  # what shells say


def become_command(job: CommandJob, fds: list[int], report_fd: int) -> NoReturn:
    """Turn the calling process, freshly forked, into a command; it never returns.

    Args:
        job: The job.
        fds: The log's pipe.
        report_fd: Gets the layers in force as one line of JSON, and is closed before the command runs.
    """
    confinement = Confinement(
        workspace=Path(job.workspace),
        layers=job.layers,
        access=job.access,
        readable=tuple(map(Path, job.readable)),
        runnable=(*map(Path, job.runnable), *libraries()),  # any package: it knows of no held-out text
        withheld=(),
        memory_bytes=None,
        file_bytes=job.file_bytes,
        cpu_seconds=None,
        listed_calls=False,
        processes="free",
    )
    enter(confinement, log_fd=fds[0], keep_fds=(), report_fd=report_fd)
    try:
        os.chdir(Path(job.workspace) / "out")
        os.execvpe(job.command[0], job.command, dict(job.environment))
    except OSError as error:
        os.write(2, f"cannot run {job.command[0]!r}: {error}\n".encode())
    os._exit(_NOT_FOUND)
