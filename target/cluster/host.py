"""What a cluster's executor starts on a host: a worker process, and the files that it needs there."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from target.cluster.likeness import likeness, refuse_another
from target.device import allot
from target.errors import DiskFullError, TargetError, machine_errors
from target.executor import TRIES, first_request
from target.kind import Kind, place_of
from target.process.scratch import scratch_directory
from target.workers import Pool, WorkerProcess

TRIES_ON_HOSTS: Final = 2
"""How often a training is begun whose host is lost: once more than it should take."""


def import_path(kind: Kind) -> list[str]:
    """Return the directories from which a process on a host imports Graft and the evaluator of the target."""
    return [str(Path(__file__).parents[2]), place_of(kind.evaluator)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A host's answer to one request.

    Attributes:
        ok: The reply of the worker, as `target/worker.py` describes it.
        error: Why this host cannot do it; None if it can.
        disk_full: Whether a full disk is the cause.
        log: What the program printed.
    """

    ok: Any = None
    error: str | None = None
    disk_full: bool = False
    log: bytes = b""

    def result(self, log: Path) -> Any:
        """Write the log, and return the reply.

        Raises:
            TargetError: The host cannot do it, or the log cannot be written here.
        """
        if self.log:
            with machine_errors(f"cannot write the log {log}"):
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_bytes(self.log)
        if self.error is not None:
            raise (DiskFullError if self.disk_full else TargetError)(self.error)
        return self.ok


class Host:
    """Evaluates programs on the host where it is made, one at a time, on the first GPU that the process sees.

    Args:
        kind: The target.
        expected: What must be equal here, from `likeness`.
    """

    def __init__(self, kind: Kind, expected: Mapping[str, str]) -> None:
        self._kind = kind
        self._expected = expected
        self._name = socket.gethostname()

    def start(self) -> None:
        """Prepare the target's files, and start the worker.

        Raises:
            TargetError: The target cannot be evaluated here, or this host differs from the search's.
        """
        with contextlib.ExitStack() as stack:
            allotment = allot(self._kind, 1)
            kind = self._kind.with_threads(allotment.threads)
            with machine_errors("cannot make a directory for the worker"):
                self._scratch = stack.enter_context(scratch_directory())
            first = first_request(kind, self._scratch)
            refuse_another(self._expected, likeness(kind, first["configure"]["settings"]))
            start = functools.partial(WorkerProcess, allotment.environment(0))
            self._pool = Pool([start], first, tries=TRIES)
            stack.callback(self._pool.join)
            stack.callback(self._pool.abandon)
            self._pool.start()
            self._card = allotment.cards[0].name if allotment.cards else ""
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the worker, wait until nothing of it is left, and remove the files."""
        self._stack.close()

    def ask(self, request: Mapping[str, Mapping[str, Any]]) -> Answer:
        """Return the answer of the worker; the log is a part of it, because the search's files may be elsewhere."""
        ((name, arguments),) = request.items()
        log = self._scratch / "run.log"
        log.unlink(missing_ok=True)
        try:
            reply = self._pool.submit({name: {**arguments, "log": str(log)}}, lambda answer: answer).result()
        except TargetError as error:
            return self.failure(error, _content(log))
        if reply is not None:
            reply |= {"host": self._name, "card": self._card}
        return Answer(ok=reply, log=_content(log))

    def failure(self, error: TargetError, log: bytes = b"") -> Answer:
        """Return the answer of a host that cannot do it."""
        return Answer(error=f"host {self._name}: {error}", disk_full=isinstance(error, DiskFullError), log=log)


def _content(log: Path) -> bytes:
    return log.read_bytes() if log.exists() else b""
