"""The code of a forked child that only rehearses the start of a driver, and so does without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from target.boundary.job import REHEARSAL, Job
from target.inside.ending import EndOfProcess
from target.inside.entry import enter, open_streams
from target.inside.rehearsal import rehearse


def become(record: Mapping[str, Any], fds: list[int], report_fd: int) -> NoReturn:
    """Turn the calling process, freshly forked, into the child of a rehearsal; it never returns.

    Args:
        record: The job, as `Job.to_json` writes it; its device is `REHEARSAL` with the path of a device file.
        fds: Its descriptors: the log's pipe.
        report_fd: Gets the layers in force as one line of JSON, and is closed before the rehearsal.
    """
    job = Job.from_json(record)
    enter(job.confinement, log_fd=fds[0], keep_fds=(), report_fd=report_fd)
    open_streams()
    with EndOfProcess():
        rehearse(job.device.removeprefix(REHEARSAL))
    raise AssertionError("the end of the process came and went")
