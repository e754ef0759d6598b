"""Executors, which run evaluations: the protocol, and the one for this machine."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final, Generic, Protocol, TypeVar

from target.device import allot
from target.errors import DiskFullError, TargetError, machine_errors
from target.evaluation import Evaluation
from target.kind import Kind, place_of
from target.process.scratch import scratch_directory
from target.program import Program
from target.sandbox import scrubbed_environment
from target.stopping import StopRule

_PACKAGE_ROOT = Path(__file__).parents[1]
_TRIES: Final = 3
_END_SECONDS: Final = 15.0

_Answer = TypeVar("_Answer")


class Executor(Protocol):
    """Runs pre-flights and evaluations, several at a time. Futures raise `TargetError` and nothing else."""

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""

    def start(self) -> None:
        """Get ready; raises `TargetError` if the target cannot be evaluated here."""

    def preflight(self, program: Program, log: Path) -> Future[Evaluation | None]:
        """Check a program without training it; None if it passes, else the verdict."""

    def evaluate(
        self,
        program: Program,
        seed: int,
        log: Path,
        *,
        thorough: bool = False,
        holdout: bool = False,
        stop: StopRule | None = None,
    ) -> Future[Evaluation]:
        """Train a program with a seed and score it.

        Args:
            program: The program.
            seed: Seed of the training.
            log: File for what it prints.
            thorough: Run the more thorough probes, for a candidate for champion.
            holdout: Score the sealed split too: for a final report only, never for a decision of a search.
            stop: When to end the training early; None for never.
        """

    def close(self) -> None:
        """End everything at once; unfinished work raises `TargetError`. Closing twice is allowed."""


class LocalExecutor:
    """Runs evaluations in worker processes on this machine.

    A worker that dies is replaced once all of its processes are gone, and its job is run again.

    Args:
        kind: The target.
        workers: Number of evaluations side by side; None for one per GPU, or on a CPU for as many as fit its cores.
        preflight_workers: Number of pre-flights that run beside the evaluations.

    Raises:
        TargetError: There are fewer GPUs than workers, or none for a target that trains on one.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        workers: int | None = None,
        preflight_workers: int = 1,
    ) -> None:
        if preflight_workers < 1:
            raise TargetError(f"executor.preflight_workers must be at least 1, got {preflight_workers}")
        self._allotment = allot(kind, workers)
        self._kind = kind.with_threads(self._allotment.threads)
        self._sizes = {"evaluate": self._allotment.slots, "preflight": preflight_workers}
        self._queues: dict[str, queue.SimpleQueue[_Task[Any] | None]] = {
            name: queue.SimpleQueue() for name in self._sizes
        }
        self._seats: list[_Seat] = []
        self._scratch = contextlib.ExitStack()
        self._closed = False

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""
        return self._sizes["evaluate"]

    def start(self) -> None:
        """Prepare what the workers share, such as the corpus, and start them.

        Raises:
            TargetError: The target cannot be evaluated here.
        """
        with machine_errors("cannot make a directory for the workers"):
            scratch = self._scratch.enter_context(scratch_directory())
        settings = self._kind.describe(scratch)
        module = self._kind.evaluator
        configuration = {
            "evaluator": module,
            "path": place_of(module),
            "settings": settings,
            "scratch": str(scratch),
        }
        for name, size in self._sizes.items():
            for slot in range(size):
                own = self._allotment.environment(slot) if name == "evaluate" else {}
                self._seats.append(_Seat(self._queues[name], configuration, own))
        try:
            for seat in self._seats:
                seat.ready.result()
        except TargetError:
            self.close()
            raise

    def preflight(self, program: Program, log: Path) -> Future[Evaluation | None]:
        """Check a program without training it; None if it passes, else the verdict."""
        request = {"preflight": {"source": program.source, "log": str(log.absolute())}}
        return self._submit("preflight", request, lambda reply: reply and Evaluation.from_json(reply))

    def evaluate(
        self,
        program: Program,
        seed: int,
        log: Path,
        *,
        thorough: bool = False,
        holdout: bool = False,
        stop: StopRule | None = None,
    ) -> Future[Evaluation]:
        """Train a program with a seed and score it."""
        arguments = {"source": program.source, "seed": seed, "log": str(log.absolute())}
        flags = {"thorough": thorough, "holdout": holdout, **({"stop": stop.to_json()} if stop else {})}
        return self._submit("evaluate", {"evaluate": {**arguments, **flags}}, Evaluation.from_json)

    def close(self) -> None:
        """End everything at once; unfinished work raises `TargetError`."""
        if self._closed or not self._seats:
            return
        self._closed = True
        for seat in self._seats:
            seat.abandon()
        for name, size in self._sizes.items():
            for _ in range(size):
                self._queues[name].put(None)
        for seat in self._seats:
            seat.join()
        self._scratch.close()

    def _submit(self, name: str, request: dict[str, Any], parse: Callable[[Any], _Answer]) -> Future[_Answer]:
        if self._closed or not self._seats:
            raise RuntimeError("the executor must be started, and not closed, to take work")
        task = _Task(request, parse)
        self._queues[name].put(task)
        return task.future


class _WorkerDied(Exception):  # noqa: N818 -- an event to recover from
    """A worker is gone, with everything it had started."""


class _Task(Generic[_Answer]):
    """A request and the future of its answer."""

    def __init__(self, request: dict[str, Any], parse: Callable[[Any], _Answer]) -> None:
        self.request = request
        self.parse = parse
        self.future: Future[_Answer] = Future()


class _Seat:
    """A thread that keeps one worker process alive and gives it tasks, one at a time.

    Args:
        tasks: The queue of tasks.
        configuration: The worker's first request.
        environment: Variables of the worker and of its descendants, beside the usual ones.
    """

    def __init__(
        self,
        tasks: queue.SimpleQueue[_Task[Any] | None],
        configuration: dict[str, Any],
        environment: Mapping[str, str],
    ) -> None:
        self._tasks = tasks
        self._configuration = configuration
        self._environment = environment
        self._worker: _WorkerProcess | None = None
        self._lock = threading.Lock()  # between starting a worker and abandoning the seat
        self._abandoned = False
        self.ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """End the worker now."""
        with self._lock:
            self._abandoned = True
            if self._worker is not None:
                self._worker.hang_up()

    def join(self) -> None:
        """Wait until the worker and all its descendants are gone."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._ask(None)
        except TargetError as error:
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                answer = task.parse(self._ask(task.request))
            except TargetError as error:
                task.future.set_exception(error)
            except BaseException as error:  # our own fault: the caller that waits must see it
                task.future.set_exception(error)
                raise
            else:
                task.future.set_result(answer)
        if self._worker is not None:
            self._worker.end()

    def _ask(self, request: dict[str, Any] | None) -> Any:
        """Return the answer to a request; None just starts the worker."""
        death: _WorkerDied | None = None
        for _ in range(_TRIES):
            try:
                worker = self._running_worker()
                return worker.ask(request) if request else None
            except _WorkerDied as error:
                death = error
                self._worker = None
        raise TargetError(f"a worker died {_TRIES} times over one evaluation: {death}")

    def _running_worker(self) -> _WorkerProcess:
        with self._lock:
            if self._abandoned:
                raise TargetError("the executor was closed before this was done")
            if self._worker is not None:
                return self._worker
            self._worker = worker = _WorkerProcess(self._environment)
        try:
            worker.ask({"configure": self._configuration})
        except TargetError:
            self._worker = None
            worker.end()
            raise
        return worker


class _WorkerProcess:
    """A running `python -m target.worker`."""

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

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer.

        Raises:
            TargetError: The worker reports that this machine cannot do it.
            _WorkerDied: The worker and its descendants are gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError, ValueError):  # gone, or hung up on
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _WorkerDied(self.end())
        reply = json.loads(line)
        if "error" in reply:
            raise (DiskFullError if reply["disk_full"] else TargetError)(reply["error"])
        return reply["ok"]

    def hang_up(self) -> None:
        """Make the worker end everything; any thread may call it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> str:
        """Hang up, wait until nothing is left, and return the last line the worker wrote to stderr."""
        assert self._process.stdout is not None
        self.hang_up()
        watchdog = threading.Timer(_END_SECONDS, self._process.kill)
        watchdog.start()
        while self._process.stdout.read(4096):
            continue  # ends when the worker and its zygote have
        status = self._process.wait()
        watchdog.cancel()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        self._process.stdout.close()
        return lines[-1] if lines else f"exit status {status}"
