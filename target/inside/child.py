"""The code of a forked child: it confines itself, then runs the candidate's code in its role."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo  # noqa: F401 -- the first step of any optimizer imports it, for 1.3 CPU seconds: once is enough

from target.boundary.job import Job, Role
from target.device.cards import NO_CARD
from target.inside.device_start import start_device
from target.inside.entry import enter
from target.inside.model_server import serve
from target.inside.preflight import check
from target.program.contract import ContractError
from target.sandbox import LANDLOCK
from target.sandbox.packages import GrantedFinder, hide_packages

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
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
    sys.argv = ["train.py"]
    sys.path[:] = [str(workspace), *(entry for entry in sys.path if Path(entry or ".").resolve() != _PACKAGE_ROOT)]
    named = LANDLOCK in confinement.layers and not confinement.runnable  # otherwise all installed packages may be used
    finder = hide_packages(confinement.readable) if named else None
    with _EndOfProcess(finder):
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


class _EndOfProcess:
    """Ends the process at the end of the block, whatever the reason; the last lines of the log give it.

    The candidate's exit handlers and threads do not run any more.

    Args:
        finder: Hides packages that are not granted; it knows whether a failed import was refused.
    """

    def __init__(self, finder: GrantedFinder | None) -> None:
        self._finder = finder

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> NoReturn:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the candidate may have closed or replaced them
            sys.stdout.flush()
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", closefd=False)  # like the interpreter's own
        if isinstance(error, ModuleNotFoundError) and self._finder and error.name in self._finder.hidden:
            error.add_note(
                f"{error.name} is installed, but candidates may use only torch, numpy and their dependencies; "
                f"target.packages=[{error.name}] grants it"
            )
        status = _explain(error)
        sys.stderr.flush()
        os._exit(status)


def _explain(error: BaseException | None) -> int:
    """Print why the block ended, and return the exit status that goes with it."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)  # noqa: T201 -- as the interpreter does
        return 1
    if isinstance(error, ContractError):
        print(f"ContractError: {error}", file=sys.stderr)  # noqa: T201 -- the parent reads the log
        return 1
    traceback.print_exception(error)
    return 1
