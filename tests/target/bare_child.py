"""A child that runs train.py without torch, for tests of what a zygote does with its children."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from typing import Any, NoReturn

from target.boundary.job import Job
from target.inside.ending import EndOfProcess
from target.inside.entry import enter, open_streams


def become(record: Mapping[str, Any], fds: list[int], report_fd: int) -> NoReturn:
    job = Job.from_json(record)
    enter(job.confinement, log_fd=fds[0], keep_fds=fds[1:], report_fd=report_fd)
    open_streams()
    with EndOfProcess():
        runpy.run_path(str(job.confinement.workspace / "train.py"), run_name="__main__")
    raise AssertionError("the end of the process came and went")
