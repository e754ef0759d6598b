"""Mirrors a search in MLflow from a separate thread; the search never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from operators.population import Population
from operators.secrets import redact
from operators.trial import Trial
from search.mlflow.records import trial_record
from search.mlflow.store import MlflowStore, import_mlflow, is_locked, sqlite_path
from search.printed import command
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 2.0


class MlflowTracker:
    """One experiment per search, with one flat run per trial and one run for the search itself.

    Each outage of MLflow causes one warning. What could not be sent is sent later: at the next update, at the end, or
    when the search is resumed. A database that another process has locked is tried again every few seconds; at the end
    until `close_seconds` are over.

    Args:
        run: Folder of the search; the files of a trial must exist before the update that contains its verdict.
        name: Name of the search, and of the experiment.
        tracking_uri: Where MLflow keeps its records: `sqlite:///PATH`, relative to the working directory, or a server.
        shown_uri: The URI to show to the user, if it differs.
        close_seconds: The longest time that `close` takes.
        warn: Is called with a line about each outage.
    """

    def __init__(
        self,
        run: RunDirectory,
        name: str,
        tracking_uri: str,
        shown_uri: str | None = None,
        *,
        close_seconds: float = 60.0,
        warn: Callable[[str], None] = _LOGGER.warning,
    ) -> None:
        database = sqlite_path(tracking_uri)
        self._shown_uri = redact(shown_uri or tracking_uri)
        self._uri = f"sqlite:///{database}" if database else tracking_uri  # absolute: the working directory may change
        self._run = run
        self._name = name
        self._close_seconds = close_seconds
        self._warn = warn
        self._wake = threading.Condition()
        self._state: tuple[Population, Summary] | None = None
        self._fresh = False
        self._closing = False
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failing = False
        self._locked = False  # by another process, which will release it
        self._arrived: set[int] = set()
        self._store: MlflowStore | None = None
        self._sent: dict[int, tuple[Trial, Trial | None]] = {}
        self._thread = threading.Thread(target=self._serve, name="mlflow", daemon=True)
        self._thread.start()

    def get_ready(self, seconds: float) -> None:
        """Wait until MLflow is imported and its store is open, or has failed, but no longer than `seconds`."""
        self._ready.wait(seconds)

    def update(self, population: Population, summary: Summary) -> None:
        """Pass on the current state; only the newest state is sent."""
        with self._wake:
            self._state = (population, summary)
            self._fresh = True
            self._wake.notify()

    def close(self) -> str | None:
        """Send the rest, and return the command that shows it."""
        deadline = time.monotonic() + self._close_seconds
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._stop.set()
        if self._state and (self._thread.is_alive() or self._failing):
            self._warn(f"MLflow did not get everything{self._missing()}; the same command again sends the rest")
        return self._hint()

    def _missing(self) -> str:
        assert self._state is not None
        decided = {trial.number for trial in self._state[0].decided}
        missing = len(decided - self._arrived)
        return f": {missing} of {len(decided)} trials may be missing" if missing else ""

    def _hint(self) -> str:
        if self._shown_uri.startswith("http"):
            return self._shown_uri
        return f"{command('search.ui', str(self._run.root))}  every trial in the MLflow UI"

    def _serve(self) -> None:
        errors = import_mlflow()
        try:
            self._store = MlflowStore(self._run, self._name, self._uri)
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

    def _fail(self, error: Exception) -> None:
        self._store = None  # a new store asks again what has arrived
        self._sent.clear()
        if not self._failing:
            self._warn(f"MLflow at {self._shown_uri} cannot be used, the search goes on: {_reason(error)}")
        self._failing, self._locked = True, is_locked(error)

    def _send(self, population: Population, summary: Summary, *, closing: bool) -> None:
        if self._store:
            self._store.refuse_locked()
        store = self._store = self._store or MlflowStore(self._run, self._name, self._uri)
        for trial in population.trials:
            if trial.decided is None:
                continue
            parents = trial.proposal.parents
            relevant = (trial, population.trials[parents[0]] if parents else None)
            if self._sent.get(trial.number) == relevant:
                continue
            record = trial_record(trial, population)
            if not store.has(record):
                store.send(record)
            self._sent[trial.number] = relevant
            self._arrived.add(trial.number)
            if self._stop.is_set():
                return
        store.send_summary(population, summary)
        if closing:
            store.finish(summary)


def _reason(error: Exception) -> str:
    if is_locked(error):
        return "another process has locked the database; what is missing is sent when the lock is released"
    lines = str(error).strip().splitlines()
    return redact(f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}")
