"""Reports the progress of a search to the console, the tracker and the pictures in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console

from operators.population import Population
from operators.trial import Trial
from search.budget import Budget
from search.hooks import NO_HOOKS, Hooks, HookSettings
from search.noise import noise_of
from search.observer import Running
from search.pictures import Pictures
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.stuck import NEVER_STUCK, StuckSettings
from search.tracker import Tracker
from search.tracking.guarded import GuardedTracker
from search.unread import Unread
from search.views.busy import Busy
from search.views.console import Display
from search.views.losses import Losses
from target.evaluation import Evaluation
from target.metric import Metric

_READY_SECONDS: Final = 30.0  # MLflow's import and a new database take five, an unreachable server longer


class MakeTracker(Protocol):
    """Makes a tracker for a search."""

    def __call__(self, *, run: RunDirectory, name: str, warn: Callable[[str], None]) -> Tracker:
        """Return the tracker; `warn` gets a line about each of its problems."""


class Watch:
    """The observer of one session: it passes everything on to the console, the tracker and the pictures.

    Args:
        run: Folder of the search.
        name: Its name.
        budget: Its limits.
        make_tracker: Makes the tracker.
        hooks: Commands of the user.
        stuck: When the search is stuck.
        quiet: Print nothing.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        name: str,
        budget: Budget,
        make_tracker: MakeTracker,
        hooks: HookSettings = NO_HOOKS,
        stuck: StuckSettings = NEVER_STUCK,
        quiet: bool = False,
    ) -> None:
        self._run = run
        console = Console(quiet=True) if quiet else None
        self._display = Display(budget, console, stamp=lambda: time.strftime("%H:%M:%S"))
        tracker = make_tracker(run=run, name=name, warn=self._display.message)
        self._tracker = GuardedTracker(tracker, self._display.message)
        self._hooks = Hooks(hooks, run, self._display.message, stuck)
        self._unread = Unread(run, self._display.message)
        self._losses = Losses(run)
        self._pictures = Pictures(run)
        self._closed = False

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)
        if not isinstance(error, KeyboardInterrupt):  # a user who interrupts the end does not want to wait for it
            self._close()

    def say(self, text: str) -> None:
        """Show a message to the user."""
        self._display.message(text)

    def measures(self, metric: Metric) -> None:
        """Note what the target measures: the console speaks of that."""
        self._display.metric = metric

    def busy(self, text: str) -> Busy:
        """Return a block during which the user reads what is being done."""
        return self._display.busy(text)

    def get_ready(self) -> None:
        """Wait until the tracker uses little CPU, so that the baseline is trained under the same load as its rivals."""
        with self.busy("starting the tracker"):
            self._tracker.get_ready(_READY_SECONDS)

    def recorded(self, population: Population, summary: Summary) -> None:
        """Pass on a verdict, or a new state of the search."""
        self._pictures.recorded(population, summary)
        if self._display.noise_sd is None and population.keeps:
            noise = noise_of(self._run)
            self._display.noise_sd = noise.seed_sd if noise else 0.0
        self._losses.recorded(population)
        self._display.recorded(population, summary)
        self._unread.recorded(population)
        self._hooks.recorded(population, summary)
        self._tracker.update(population, summary)

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Pass on a finished training."""
        self._display.measured(trial, evaluation)

    def tick(self, running: Sequence[Running]) -> None:
        """Pass on what is under way, with the losses of trainings."""
        self._display.tick(self._losses.added_to(running))
        self._pictures.tick(running)

    def finish(self, population: Population, summary: Summary) -> None:
        """Write the reports, send what is left to the tracker, and show the result of the search."""
        with self.busy("writing the report"):
            self._pictures.finish(population, summary)
        self._display.tick(())
        self._tracker.update(population, summary)
        with self.busy("sending the last trials to the tracker"):
            hint = self._close()
        self._display.finish(population, summary, self._run, hint)

    def _close(self) -> str | None:
        if self._closed:
            return None
        self._closed = True
        self._hooks.close()
        return self._tracker.close()
