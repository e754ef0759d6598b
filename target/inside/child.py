"""The code of a forked child: it confines itself, then runs the candidate's code in its role."""

from __future__ import annotations

import os
import sys
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo  # noqa: F401 -- the first step of any optimizer imports it, for 1.3 CPU seconds: once is enough

from target.boundary.job import Job, Role
from target.device.cards import NO_CARD
from target.inside.device_start import start_device
from target.inside.ending import EndOfProcess
from target.inside.entry import enter, open_streams
from target.inside.model_server import serve
from target.inside.preflight import check
from target.sandbox import LANDLOCK
from target.sandbox.packages import hide_packages

_PACKAGE_ROOT = Path(__file__).parents[2]


def become(record: Mapping[str, Any], fds: list[int], report_fd: int) -> NoReturn:
    """Turn the calling process, freshly forked, into the child of a job; it never returns.

    Args:
        record: The job, as `Job.to_json` writes it.
        fds: Its descriptors, the log's pipe first.
        report_fd: Gets the layers in force as one line of JSON, and is closed before any of the candidate's code runs.
    """
    job = Job.from_json(record)
    confinement, workspace = job.confinement, job.confinement.workspace
    log_fd, *rest = fds
    enter(confinement, log_fd=log_fd, keep_fds=rest, report_fd=report_fd)
    open_streams()
    sys.argv = ["train.py"]
    sys.path[:] = [str(workspace), *(entry for entry in sys.path if Path(entry or ".").resolve() != _PACKAGE_ROOT)]
    named = LANDLOCK in confinement.layers and not confinement.runnable  # otherwise all installed packages may be used
    finder = hide_packages(confinement.readable) if named else None
    with EndOfProcess(finder):
        match job.role:
            case Role.TRAIN:
                _run_as_main(workspace / "train.py")
            case Role.PREFLIGHT:
                os.environ.update(NO_CARD)  # it uses the CPU while others train: a GPU context would slow both
                warnings.filterwarnings("ignore", "CUDA initialization", UserWarning)  # it has no device on purpose
                check(job, *rest)
            case Role.SERVE:
                serve(job, *rest)
            case Role.START_DEVICE:
                start_device(job)
    raise AssertionError("the end of the process came and went")


def _run_as_main(path: Path) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["__main__"] = main
    exec(compile(path.read_bytes(), str(path), "exec"), main.__dict__)
