"""Reports the progress of a search to the console, the tracker and the pictures in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console

from operators.population import Population
from operators.trial import Trial
from search.budget import Budget
from search.hooks import NO_HOOKS, Hooks, HookSettings
from search.noise import noise_of
from search.observer import Running
from search.report import render_report
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tasks import Stage
from search.tracker import Tracker
from search.views.busy import Busy
from search.views.console import Display
from search.views.lineage import render_lineage
from search.views.losses import with_losses
from target.evaluation import Evaluation

_READY_SECONDS: Final = 30.0  # MLflow's import and a new database take five, an unreachable server longer
_PICTURE_SECONDS: Final = 30.0  # between two drawings, which take longer than a verdict
_PICTURE_SHARE: Final = 0.02  # of the time, at most: drawings of a long search take seconds
_LOSS_SECONDS: Final = 1.0  # between two looks at the losses of trainings, each of which reads a small file
_YOUNG_SECONDS: Final = 2.0  # a training that began so recently hardly ends before a drawing does


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
        quiet: bool = False,
    ) -> None:
        self._run = run
        console = Console(quiet=True) if quiet else None
        self._display = Display(budget, console, stamp=lambda: time.strftime("%H:%M:%S"))
        self._tracker = make_tracker(run=run, name=name, warn=self._display.message)
        self._hooks = Hooks(hooks, run, self._display.message)
        self._next_drawing = time.monotonic() + _PICTURE_SECONDS
        self._shown: tuple[Population, Summary] | None = None
        self._losses: dict[int, str] = {}
        self._next_losses = 0.0
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

    def busy(self, text: str) -> Busy:
        """Return a block during which the user reads what is being done."""
        return self._display.busy(text)

    def get_ready(self) -> None:
        """Wait until the tracker uses little CPU, so that the baseline is trained under the same load as its rivals."""
        with self.busy("the tracker starts"):
            self._tracker.get_ready(_READY_SECONDS)

    def recorded(self, population: Population, summary: Summary) -> None:
        """Pass on a verdict, or a new state of the search.

        Pictures take longer than a verdict, and a slot waits for the next step now: they are drawn while it trains.
        """
        self._shown = (population, summary)
        if time.monotonic() > self._next_drawing + 2 * _PICTURE_SECONDS:  # trainings that are too short to be seen
            self._draw(population, summary)
        if self._display.noise_sd is None and population.keeps:
            noise = noise_of(self._run)
            self._display.noise_sd = noise.seed_sd if noise else 0.0
        self._display.recorded(population, summary)
        self._hooks.recorded(population, summary)
        self._tracker.update(population, summary)

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Pass on a finished training."""
        self._display.measured(trial, evaluation)

    def tick(self, running: Sequence[Running]) -> None:
        """Pass on what is under way, with the losses of trainings."""
        now = time.monotonic()
        if now >= self._next_losses:
            self._next_losses = now + _LOSS_SECONDS
            population = self._shown[0] if self._shown else Population()
            self._losses = {each.number: each.loss for each in with_losses(running, population, self._run)}
        self._display.tick([replace(each, loss=self._losses.get(each.number, "")) for each in running])
        overdue_seconds = time.monotonic() - self._next_drawing
        if self._shown and overdue_seconds > 0:
            oldest_seconds = max((each.seconds for each in running if each.stage == Stage.MEASURE), default=None)
            late = overdue_seconds > _PICTURE_SECONDS
            if oldest_seconds is not None and (oldest_seconds < _YOUNG_SECONDS or late):
                self._draw(*self._shown)

    def finish(self, population: Population, summary: Summary) -> None:
        """Write the report, send what is left to the tracker, and show the result of the search."""
        self._draw(population, summary)
        write_atomically(self._run.root / "report.md", render_report(population, summary, self._run))
        self._display.tick(())
        self._tracker.update(population, summary)
        with self.busy("the last trials are sent to the tracker"):
            hint = self._close()
        self._display.finish(population, summary, self._run, hint)

    def _draw(self, population: Population, summary: Summary) -> None:
        from search.views.progress import (
            draw_progress,  # matplotlib takes a second to import: only when there is something to draw
        )

        began = time.monotonic()

        try:
            draw_progress(self._run.root / "progress.png", population, summary)
        except ModuleNotFoundError as error:  # matplotlib is missing, in a checkout that is not installed
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
        write_atomically(self._run.root / "lineage.html", render_lineage(population, summary))
        ended = time.monotonic()
        self._next_drawing = ended + max(_PICTURE_SECONDS, (ended - began) / _PICTURE_SHARE)

    def _close(self) -> str | None:
        if self._closed:
            return None
        self._closed = True
        self._hooks.close()
        return self._tracker.close()
