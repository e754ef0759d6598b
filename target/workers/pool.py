"""A pool of workers with one queue: a worker that dies is replaced, and its task is run again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, Protocol, TypeVar

from target.errors import TargetError

_RETRY_SECONDS: Final = 10.0
_JOIN_SECONDS: Final = 180.0  # more than any worker takes for its end: a cancelled job has two minutes
_LOG: Final = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class WorkerDied(Exception):  # noqa: N818 -- an event to recover from
    """A worker is gone, with everything it had started."""


class Worker(Protocol):
    """Answers requests, one at a time, in another process; `target/worker.py` describes them."""

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer.

        Raises:
            TargetError: The machine of the worker cannot do it.
            WorkerDied: The worker and its descendants are gone.
        """

    def hang_up(self) -> None:
        """Make the worker end everything; any thread may call it."""

    def end(self) -> str:
        """Hang up, wait until nothing is left, and return the last thing the worker said."""


class Pool:
    """Workers of one sort, side by side.

    Args:
        places: For each worker, a function that starts one there. It returns at once.
        first: The first request to each worker, which makes it ready.
        tries: How often a task is begun before the deaths of its workers stop the search.
    """

    def __init__(self, places: Sequence[Callable[[], Worker]], first: dict[str, Any], *, tries: int) -> None:
        self._tasks: queue.SimpleQueue[_Task[Any] | None] = queue.SimpleQueue()
        crew = _Crew()
        self._seats = [_Seat(self._tasks, place, first, crew, tries) for place in places]

    def start(self) -> None:
        """Wait until all workers are ready; raises `TargetError` if one cannot be."""
        for seat in self._seats:
            seat.ready.result()

    def submit(self, request: dict[str, Any], parse: Callable[[Any], _Answer]) -> Future[_Answer]:
        """Queue a request; `parse` turns its answer into the result."""
        task = _Task(request, parse)
        self._tasks.put(task)
        return task.future

    def abandon(self) -> None:
        """End all workers now, without waiting: unfinished tasks raise `TargetError`."""
        for seat in self._seats:
            seat.abandon()
        for _ in self._seats:
            self._tasks.put(None)

    def join(self) -> None:
        """Wait until all workers and their descendants are gone; one that no signal can end is left, and told."""
        deadline = time.monotonic() + _JOIN_SECONDS
        left = sum(not seat.join(max(0.0, deadline - time.monotonic())) for seat in self._seats)
        if left:
            _LOG.warning(
                "%d of %d workers should have ended within %g s and have not: their processes may wait for a GPU or a "
                "disk that hangs; end them, or restart the machine, before another search",
                left,
                len(self._seats),
                _JOIN_SECONDS,
            )


class _Task(Generic[_Answer]):
    """A request and the future of its answer."""

    def __init__(self, request: dict[str, Any], parse: Callable[[Any], _Answer]) -> None:
        self.request = request
        self.parse = parse
        self.deaths = 0
        self.future: Future[_Answer] = Future()

    def begin(self) -> bool:
        """Return whether the task is still wanted."""
        return self.deaths > 0 or self.future.set_running_or_notify_cancel()


class _Crew:
    """Counts the seats that have a worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = 0

    def add(self, change: int) -> None:
        with self._lock:
            self._ready += change

    @property
    def is_empty(self) -> bool:
        with self._lock:
            return not self._ready


class _Seat:
    """A thread that keeps one worker alive and gives it tasks, one at a time.

    A seat whose worker cannot be replaced takes no task while another seat of the pool has a worker: a cluster that
    has lost a node goes on with the others.
    """

    def __init__(
        self,
        tasks: queue.SimpleQueue[_Task[Any] | None],
        place: Callable[[], Worker],
        first: dict[str, Any],
        crew: _Crew,
        tries: int,
    ) -> None:
        self._tasks = tasks
        self._place = place
        self._first = first
        self._crew = crew
        self._tries = tries
        self._worker: Worker | None = None
        self._lock = threading.Lock()  # between starting a worker and abandoning the seat
        self._abandoned = threading.Event()
        self.ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """End the worker now."""
        with self._lock:
            self._abandoned.set()
            if self._worker is not None:
                self._worker.hang_up()

    def join(self, limit_seconds: float) -> bool:
        """Wait until the worker and all its descendants are gone; return whether they are."""
        self._thread.join(limit_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if trouble := self._fill():
            self.ready.set_exception(trouble)
        else:
            self.ready.set_result(None)
        while True:
            trouble = self._fill_while_others_work()
            if (task := self._tasks.get()) is None:
                break
            if not task.begin():
                continue
            if trouble := trouble and self._fill():
                task.future.set_exception(trouble)
            else:
                self._do(task)
        if self._worker is not None:
            self._worker.end()

    def _fill_while_others_work(self) -> TargetError | None:
        """Start a worker if there is none, again and again while the pool can spare this seat; return what fails."""
        while trouble := self._fill():
            if self._crew.is_empty or self._abandoned.is_set():
                return trouble
            _LOG.warning("a worker cannot be replaced, and the others go on: %s", trouble)
            self._abandoned.wait(_RETRY_SECONDS)
        return None

    def _fill(self) -> TargetError | None:
        """Start a worker if there is none; return what prevents it."""
        death: WorkerDied | None = None
        for _ in range(self._tries):
            if self._worker is not None:
                return None
            with self._lock:
                if self._abandoned.is_set():
                    return TargetError("the executor was closed before this was done")
                worker = self._worker = self._place()
            try:
                worker.ask(self._first)
            except WorkerDied as error:
                self._worker, death = None, error
            except TargetError as error:
                self._worker = None
                worker.end()
                return error
            else:
                self._crew.add(1)
        return TargetError(f"a worker died {self._tries} times at its start: {death}") if death else None

    def _do(self, task: _Task[_Answer]) -> None:
        assert self._worker is not None
        try:
            answer = task.parse(self._worker.ask(task.request))
        except WorkerDied as death:
            self._crew.add(-1)
            self._worker = None
            task.deaths += 1
            if self._abandoned.is_set():
                task.future.set_exception(TargetError("the executor was closed before this was done"))
            elif task.deaths < self._tries:
                self._tasks.put(task)
            else:
                message = f"a worker died {task.deaths} times over one evaluation: {death}"
                task.future.set_exception(TargetError(message))
        except TargetError as error:
            task.future.set_exception(error)
        except BaseException as error:  # our own fault: the caller that waits must see it
            task.future.set_exception(error)
            raise
        else:
            task.future.set_result(answer)
