"""Mirrors a search from a separate thread; the search never waits for it."""

from __future__ import annotations

import abc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from operators.population import Population
from operators.secrets import redact
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.guarded import attempt

if TYPE_CHECKING:
    from search.tracking.later import Finding

LOGGER: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 2.0


class Mirror(Protocol):
    """An open connection to where a search is mirrored. After an error it is not used any more."""

    def refuse_locked(self) -> None:
        """Refuse a store that another process has locked."""

    def send(self, population: Population, summary: Summary, *, closing: bool) -> Iterator[int]:
        """Send what is missing, and yield the number of each trial that has arrived.

        Args:
            population: All trials.
            summary: The state of the search.
            closing: Whether this is the last call.
        """


class BackgroundTracker(abc.ABC):
    """A tracker whose mirror is opened and fed by a thread of its own.

    Each outage causes one warning. What could not be sent is sent later: at the next update, at the end, or when the
    search is resumed. A store that another process has locked is tried again every few seconds; at the end until
    `close_seconds` are over.

    Args:
        name: What is mirrored to, for warnings, such as `MLflow`.
        place: Where that is, for warnings.
        close_seconds: The longest time that `close` takes.
        warn: Is called with a line about each outage.
        is_locked: Tells whether an error means that another process has locked the store temporarily.
    """

    def __init__(
        self,
        name: str,
        place: str,
        *,
        close_seconds: float,
        warn: Callable[[str], None],
        is_locked: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._name = name
        self._place = redact(place)
        self._close_seconds = close_seconds
        self._warn = warn
        self._is_locked = is_locked
        self._wake = threading.Condition()
        self._state: tuple[Population, Summary] | None = None
        self._fresh = False
        self._closing = False
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failing = False
        self._locked = False  # by another process, which will release it
        self._arrived: set[int] = set()
        self._mirror: Mirror | None = None
        self._thread = threading.Thread(target=self._serve, name=name.lower(), daemon=True)
        self._thread.start()

    @abc.abstractmethod
    def load(self) -> tuple[type[Exception], ...]:
        """Import what is needed, which may take seconds; return the errors that mean it cannot be used now."""

    @abc.abstractmethod
    def open(self) -> Mirror:
        """Open the mirror; may raise one of those errors."""

    @abc.abstractmethod
    def hint(self) -> str | None:
        """Return a message that says where to look."""

    def get_ready(self, seconds: float) -> None:
        """Wait until the mirror is open, or has failed, but no longer than `seconds`."""
        self._ready.wait(seconds)

    def update(self, population: Population, summary: Summary) -> None:
        """Pass on the current state; only the newest state is sent."""
        with self._wake:
            self._state = (population, summary)
            self._fresh = True
            self._wake.notify()

    def close(self) -> str | None:
        """Send the rest, and return a message that says where to look."""
        deadline = time.monotonic() + self._close_seconds
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._stop.set()
        if self._state and (self._thread.is_alive() or self._failing):
            self._warn(f"{self._name} did not get everything{self._missing()}; the same command again sends the rest")
        return self.hint()

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Send nothing, and return nothing: for trackers that keep no findings; see `Tracker`."""
        del finding, run, settings
        return ""

    def _missing(self) -> str:
        assert self._state is not None
        decided = {trial.number for trial in self._state[0].decided}
        missing = len(decided - self._arrived)
        return f": {missing} of {len(decided)} trials may be missing" if missing else ""

    def _serve(self) -> None:
        attempt(self._feed, self._break)
        self._ready.set()

    def _feed(self) -> None:
        errors = self.load()
        try:
            self._mirror = self.open()
        except errors as error:
            self._fail(error)
        self._ready.set()
        while not self._stop.is_set():
            with self._wake:
                self._wake.wait_for(lambda: self._fresh or self._closing or (self._locked and self._state))
                state, closing, self._fresh = self._state, self._closing, False
            if state is not None:
                try:
                    self._send(*state, closing=closing)
                    self._failing = self._locked = False
                except errors as error:
                    self._fail(error)
            if self._locked and state is not None:
                self._stop.wait(_RETRY_SECONDS)
            elif closing:
                return

    def _send(self, population: Population, summary: Summary, *, closing: bool) -> None:
        if self._mirror:
            self._mirror.refuse_locked()
        mirror = self._mirror = self._mirror or self.open()
        for number in mirror.send(population, summary, closing=closing):
            self._arrived.add(number)
            if self._stop.is_set():
                return

    def _fail(self, error: Exception) -> None:
        self._mirror = None  # a new one asks again what has arrived
        if not self._failing:
            self._warn(f"{self._name} at {self._place} cannot be used, the search goes on: {self._reason(error)}")
        self._failing, self._locked = True, self._is_locked(error)

    def _break(self, problem: str) -> None:
        """Note an unexpected error: no more is sent in this session."""
        self._failing, self._locked = True, False
        self._warn(f"{self._name} at {self._place} cannot be used, the search goes on: {problem}")

    def _reason(self, error: Exception) -> str:
        if self._is_locked(error):
            return "another process has locked the database; what is missing is sent when the lock is released"
        lines = str(error).strip().splitlines()
        return redact(f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}")
