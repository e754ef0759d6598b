"""Tells everybody how a search goes: the console, the tracker, and the pictures in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from operators.population import Population
from operators.trial import Trial
from search.budget import Budget
from search.observer import Running
from search.report import render_report
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracker import Tracker
from search.views.console import Display
from search.views.lineage import render_lineage
from target.evaluation import Evaluation

_READY_SECONDS: Final = 30.0  # importing MLflow and creating its database take five, a server that is away longer
_PICTURE_SECONDS: Final = 30.0  # between two drawings: they take longer than a verdict does


class MakeTracker(Protocol):
    """Makes a tracker for a search."""

    def __call__(self, *, run: RunDirectory, name: str, warn: Callable[[str], None]) -> Tracker:
        """Return the tracker; `warn` gets a line about each of its troubles."""


class Watch:
    """Observer of one session, made of all that want to know.

    Args:
        run: Folder of the search.
        name: Its name.
        budget: Its limits.
        make_tracker: Makes the tracker.
    """

    def __init__(self, run: RunDirectory, *, name: str, budget: Budget, make_tracker: MakeTracker) -> None:
        self._run = run
        self._display = Display(budget)
        self._tracker = make_tracker(run=run, name=name, warn=self._display.message)
        self._drawn = time.monotonic()
        self._closed = False

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)
        if not isinstance(error, KeyboardInterrupt):  # whoever interrupts the end does not want to wait for it
            self._close()

    def say(self, text: str) -> None:
        """Tell the user something."""
        self._display.message(text)

    def get_ready(self) -> None:
        """Wait until the tracker needs little of the machine, so that the baseline is trained like its rivals."""
        self._tracker.get_ready(_READY_SECONDS)

    def recorded(self, population: Population, summary: Summary) -> None:
        """Pass on a verdict, or a new state of the search."""
        if time.monotonic() - self._drawn > _PICTURE_SECONDS:
            self._draw(population, summary)
        self._display.recorded(population, summary)
        self._tracker.update(population, summary)

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Pass on a finished training."""
        self._display.measured(trial, evaluation)

    def tick(self, running: Sequence[Running]) -> None:
        """Pass on what is under way."""
        self._display.tick(running)

    def finish(self, population: Population, summary: Summary) -> None:
        """Write the report, send what is left to the tracker, and show what came of the search."""
        self._draw(population, summary)
        write_atomically(self._run.root / "report.md", render_report(population, summary, self._run))
        self._display.stop()
        self._tracker.update(population, summary)
        self._display.finish(population, summary, self._run, self._close())

    def _draw(self, population: Population, summary: Summary) -> None:
        from search.views.progress import (
            draw_progress,  # matplotlib costs a second: not before there is something to draw
        )

        try:
            draw_progress(self._run.root / "progress.png", population, summary)
        except ModuleNotFoundError as error:  # a checkout that is not installed, on a machine that lacks it
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
        write_atomically(self._run.root / "lineage.html", render_lineage(population, summary))
        self._drawn = time.monotonic()

    def _close(self) -> str | None:
        if self._closed:
            return None
        self._closed = True
        return self._tracker.close()
