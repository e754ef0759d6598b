"""A worker process on this machine, behind a pipe."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from target.errors import DiskFullError, TargetError
from target.sandbox import scrubbed_environment
from target.workers.pool import WorkerDied

_PACKAGE_ROOT: Final = Path(__file__).parents[2]
_END_SECONDS: Final = 15.0


class WorkerProcess:
    """A running `python -m target.worker`.

    Args:
        environment: Variables of the worker and of its descendants, beside the usual ones.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "target.worker"],
            cwd=_PACKAGE_ROOT,
            env={**scrubbed_environment(threads=1), **environment},  # a candidate finds none of our secrets in /proc
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # an interrupt from the terminal goes to the search, which ends its workers
        )
        self._watchdog = threading.Timer(_END_SECONDS, self._process.kill)  # for one that does not even read its stdin
        self._watchdog.daemon = True
        self._hanging_up = threading.Lock()

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer.

        Raises:
            TargetError: The worker reports that this machine cannot do it.
            WorkerDied: The worker and its descendants are gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError, ValueError):  # gone, or hung up on
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerDied(self.end())
        reply = json.loads(line)
        if "error" in reply:
            raise (DiskFullError if reply["disk_full"] else TargetError)(reply["error"])
        return reply["ok"]

    def hang_up(self) -> None:
        """Make the worker end everything; any thread may call it."""
        assert self._process.stdin is not None
        with self._hanging_up:
            if self._watchdog.ident is None:
                self._watchdog.start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> str:
        """Hang up, wait until nothing is left, and return the last line the worker wrote to stderr."""
        assert self._process.stdout is not None
        self.hang_up()
        while self._process.stdout.read(4096):
            continue  # ends when the worker and its zygote have
        status = self._process.wait()
        self._watchdog.cancel()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        self._process.stdout.close()
        return lines[-1] if lines else f"exit status {status}"
