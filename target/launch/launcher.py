"""The evaluator's side of the zygote: starts it, lets it fork children, waits for them by the clock, ends them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from target.boundary.job import KILL_SECONDS, PACKET_BYTES, AnyJob
from target.errors import TargetError
from target.process.clock import Excess, Limits, TreeClock
from target.process.processes import become_subreaper, children, kill, kill_descendants
from target.sandbox import scrubbed_environment
from target.sandbox.namespaces import LAYER, View, wrap

_PACKAGE_ROOT = Path(__file__).parents[2]
_START_SECONDS = 120.0
_REPLY_SECONDS = 60.0  # more than the zygote takes to kill a tree
_POLL_SECONDS = 0.05


class ZygoteDied(Exception):  # noqa: N818 -- an event to recover from: the evaluation is done again with a new one
    """The zygote is gone, and its child with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended.

    Attributes:
        status: Its wait status; None if it was killed.
        exceeded: The limit for which it was killed; None if it ended by itself.
        peak_bytes: Largest resident memory of the child itself; 0 if it was killed.
    """

    status: int | None
    exceeded: Excess | None
    peak_bytes: int


class Zygote:
    """A running zygote. When `close` returns, it and all its descendants are gone.

    Args:
        threads: CPU threads of its children.
        lifelines: Descriptors that it keeps open as long as it lives, so that others can detect its end.
        view: Files that it sees, in new namespaces; None for no namespaces.
        child: Module of its children: its `become` gets each job. Each child starts with the module's imports loaded.

    Attributes:
        pid: Its process id here, outside its namespaces.
        layers: Layers in force for it and its descendants, by name.
    """

    def __init__(
        self,
        *,
        threads: int,
        lifelines: Sequence[int] = (),
        view: View | None = None,
        child: str = "target.inside.child",
    ) -> None:
        become_subreaper()  # we inherit what outlives a killed zygote
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by close()
        self._closed = False
        self._half_killed = False  # an earlier trial did not end in time
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.layers = () if view is None else (LAYER,)
        self._siblings = frozenset(children(os.getpid()))  # for a zygote that is killed at once
        with theirs:
            command = [
                sys.executable,
                "-m",
                "target.inside.zygote",
                str(theirs.fileno()),
                child,
            ]
            self._process = subprocess.Popen(
                command if view is None else wrap(command, view),
                cwd=_PACKAGE_ROOT,
                env=scrubbed_environment(threads),
                pass_fds=(theirs.fileno(), *lifelines),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
        self.pid = self._process.pid  # until it is ready, this is bwrap, with which it dies
        self._siblings = self._others()
        try:
            self.receive(_START_SECONDS)
        except ZygoteDied as death:
            self.close()
            raise TargetError(f"the zygote did not start: {death}") from death
        if view is not None:  # bwrap waits for its only child
            (self.pid,) = children(self._process.pid) or (self.pid,)

    def fork(self, job: AnyJob, fds: Sequence[int]) -> Child:
        """Fork a child; one at a time.

        Raises:
            ZygoteDied: It is gone.
            TargetError: The child could not be confined, or a process of an earlier child is alive.
        """
        if self._half_killed:
            self.kill_tree()
        if alive := children(self.pid):
            pids = ", ".join(map(str, alive))
            raise TargetError(f"a process of an earlier trial is alive ({pids}), so that no other may begin; end it")
        clock = TreeClock(self.pid, str(job.confinement.workspace))
        try:
            socket.send_fds(self._socket, [json.dumps({"job": job.to_json()}).encode()], list(fds))
        except OSError as error:
            raise self._death() from error
        reply = self._reply(_REPLY_SECONDS)
        if "error" in reply:
            raise TargetError(f"{reply['error']}: {self._last_error()}")
        return Child(self, clock, pid=reply["pid"], isolation=(*reply["isolation"], *self.layers))

    def kill_tree(self) -> float:
        """Kill all descendants of the zygote, and return the CPU seconds of all it has reaped since the job began.

        Raises:
            ZygoteDied: It is gone.
            TargetError: A process could not be killed.
        """
        try:
            self._socket.send(json.dumps({"kill": True}).encode())
        except OSError as error:
            raise self._death() from error
        while "killed" not in (reply := self._reply(_REPLY_SECONDS)):
            continue  # the child had just ended by itself
        self._half_killed = not reply["killed"]
        if self._half_killed:
            raise TargetError(f"a process of the trial cannot be killed; see the processes below {self.pid}")
        return float(reply["cpu_seconds"])

    def receive(self, timeout_seconds: float) -> dict[str, Any] | None:
        """Return the next message, or None if none comes in time.

        Raises:
            ZygoteDied: It is gone.
        """
        self._siblings = self._others()
        self._socket.settimeout(timeout_seconds)
        try:
            packet = self._socket.recv(PACKET_BYTES)
        except TimeoutError:
            return None
        except ConnectionResetError:
            packet = b""
        if not packet:
            raise self._death()
        message: dict[str, Any] = json.loads(packet)
        return message

    def close(self) -> None:
        """End the zygote and all its descendants.

        Raises:
            TargetError: A process could not be killed.
        """
        if self._closed:
            return
        self._closed = True
        self._socket.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            kill(self.pid)
            self._process.wait()
        self._errors.close()
        # a zygote that died by itself left its orphans to us: all children that we did not have while it lived
        if not kill_descendants(KILL_SECONDS, keep=self._siblings):
            raise TargetError(f"a process of a trial outlives its zygote; see the processes below {os.getpid()}")

    def _others(self) -> frozenset[int]:
        found = frozenset(children(os.getpid()))
        if self._process.poll() is not None:  # checked second: its orphans must not count as siblings
            return self._siblings
        return found - {self._process.pid}

    def _reply(self, timeout_seconds: float) -> dict[str, Any]:
        reply = self.receive(timeout_seconds)
        if reply is None:
            kill(self.pid)
            raise ZygoteDied(f"it did not answer for {timeout_seconds:.0f} seconds")
        return reply

    def _death(self) -> ZygoteDied:
        return ZygoteDied(self._last_error() or "it was killed")

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class Child:
    """A forked child; leaving the `with` block kills it and its descendants, which stops the clock.

    Attributes:
        clock: Measures what it and its descendants have used.
        pid: Its process id, in the namespaces of the zygote.
        isolation: Layers in force, by name.
    """

    def __init__(self, zygote: Zygote, clock: TreeClock, *, pid: int, isolation: tuple[str, ...]) -> None:
        self._zygote = zygote
        self.clock = clock
        self.pid = pid
        self.isolation = isolation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock.poll()
        try:
            self.clock.settle(self._zygote.kill_tree())
        except ZygoteDied:
            self._zygote.close()  # its orphans hold the log open
            raise

    def wait(self, limits: Limits, look: Callable[[TreeClock], Excess | None] = lambda _: None) -> Ending:
        """Wait until the child ends, exceeds a limit, or is found to have gone on long enough.

        Args:
            limits: The limits.
            look: Called at every look at the clock; what it returns ends the child.

        Raises:
            ZygoteDied: The zygote is gone.
        """
        while True:
            message = self._zygote.receive(_POLL_SECONDS)
            if message is not None:
                return Ending(status=message["exited"], exceeded=None, peak_bytes=message["peak_bytes"])
            if exceeded := self.excess(limits) or look(self.clock):
                return Ending(status=None, exceeded=exceeded, peak_bytes=0)

    def excess(self, limits: Limits) -> Excess | None:
        """Return which limit is exceeded by now, or None."""
        self.clock.poll()
        return self.clock.exceeded(limits) or self.clock.overfull(limits)

    def wait_briefly(self, seconds: float) -> int | None:
        """Return the wait status of a child that is about to end; None if it does not."""
        deadline = time.monotonic() + seconds
        message = self._zygote.receive(max(0.001, deadline - time.monotonic()))
        return None if message is None else int(message["exited"])
