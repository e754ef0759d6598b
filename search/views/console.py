"""The terminal display of a search: a live table, or plain lines if the output is not a terminal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from operators.population import Population
from operators.trial import Trial
from search.budget import Budget
from search.observer import Running
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.views.busy import FIRST_SECONDS, Busy, SparseLines
from search.views.drawing import event_line, final_view, live_view, measurement_line, under_way_text, verdict_line
from search.views.notebook import NotebookLive, console_here, in_notebook
from target.evaluation import Evaluation
from target.metric import VAL_BPB

_SHOW_CURSOR, _HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"
_SILENT_SECONDS: Final = 60.0  # during trainings, in a file, which keeps every line: then it says what is under way
_TRAINING: Final = "train"  # the stage that may be silent for longer
_REDRAW_SECONDS: Final = 1.0  # a redraw takes 8 ms of a CPU that the trainings need


class Display:
    """Shows a search while it runs, and its result.

    It has no clock and no thread: it draws when it is called, and `tick` tells it how much time has passed.

    Args:
        budget: Limits, for the progress bars.
        console: Where to draw; standard output by default.
        stamp: Returns the time of day, in front of each line that stays; None for lines without one.
    """

    def __init__(
        self, budget: Budget, console: Console | None = None, *, stamp: Callable[[], str] | None = None
    ) -> None:
        self.noise_sd: float | None = None  # of a score between seeds, once it is known
        self.metric = VAL_BPB  # what the target measures, once it is known
        self._stamp = stamp
        self._kept_at_seconds: float | None = None  # wall time of the search; None before this session
        self._budget = budget
        self._console = console or console_here()
        self._live = _live(self._console)
        self._population = Population()
        self._summary: Summary | None = None
        self._running: Sequence[Running] = ()
        self._quiet_seconds = 0.0  # since the last verdict
        self._undrawn_seconds = 0.0
        self._shown = 0
        self._told: set[tuple[int, str]] = set()  # work that a line in a file has named
        self._before_stop: signal.Handlers | int | Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
            if self._console.is_terminal and threading.current_thread() is threading.main_thread():
                self._before_stop = signal.signal(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def message(self, text: str) -> None:
        """Print a message that stays on the screen: an event or a warning."""
        self._log(event_line(text))

    def busy(self, text: str) -> Busy:
        """Return a block during which the user reads what is being done: a changing line, or a few lines in a file.

        Args:
            text: What is being done.
        """
        if isinstance(self._live, Live):
            return Busy(text, self._animate)
        return Busy(text, SparseLines(self.message).show)

    def recorded(self, population: Population, summary: Summary) -> None:
        """Show a new verdict, or a new state of the search."""
        before = self._population.champion
        if before and before is not population.champion and self._summary:
            self._kept_at_seconds = summary.wall_seconds
        self._population, self._summary = population, summary
        self._quiet_seconds = 0.0
        if self._live:
            self._refresh()
            return
        decided = population.decided
        if not self._shown and len(decided) > 1:
            begun = "imported" if all(trial.imported for trial in decided) else "resumed"
            self._log(event_line(f"{begun}: {len(decided)} trials already have a verdict"))
            self._shown = len(decided)
        for trial in decided[self._shown :]:
            self._log(verdict_line(trial, population, summary, self._budget, self.metric))
        self._shown = len(decided)

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Show a training before a verdict; in the table it is part of its trial."""
        if not self._live and len(trial.evaluations) > 1:
            self._log(measurement_line(trial, evaluation, self.metric))

    def tick(self, running: Sequence[Running]) -> None:
        """Show what is under way."""
        passed = _passed_seconds(self._running, running)
        changed = [(each.number, each.stage) for each in self._running] != [
            (each.number, each.stage) for each in running
        ]
        self._quiet_seconds += passed
        self._undrawn_seconds += passed
        self._running = running
        if not self._live and running and self._undrawn_seconds >= self._patience_seconds():
            self._log(event_line(under_way_text(running)))
            self._told |= {(each.number, each.stage) for each in running}
        if self._live and (changed or self._undrawn_seconds >= _REDRAW_SECONDS):
            self._refresh()

    def stop(self) -> None:
        """Remove the live part from the screen; the last table stays."""
        self._running = ()
        if self._live:
            self._refresh()
            self._live.stop()
            self._live = None
            if self._before_stop is not None:
                signal.signal(signal.SIGTSTP, self._before_stop)
                self._before_stop = None

    def finish(self, population: Population, summary: Summary, run: RunDirectory, hint: str | None) -> None:
        """Show the result of the search.

        Args:
            population: The trials.
            summary: The final state.
            run: The folder of the search.
            hint: The tracker's message about where to look.
        """
        self._population, self._summary = population, summary
        self.stop()
        coloured = self._console.is_terminal
        self._print(final_view(population, summary, run, hint, coloured=coloured, metric=self.metric), crop=False)

    def _animate(self, text: str, seconds: float) -> None:
        """Show what is being done below the last table, in place of the time before."""
        if isinstance(self._live, Live):
            line = Text(f"{text} ... {seconds:.0f} s", style="dim")
            self._live.update(Group(self._view(), line) if self._summary else line, refresh=True)

    def _patience_seconds(self) -> float:
        """Return the longest silence in a file: short for the first training and for what is no training, once each."""
        new = [each for each in self._running if (each.number, each.stage) not in self._told]
        is_awaited = any(each.stage != _TRAINING and each.seconds >= FIRST_SECONDS for each in new)
        return FIRST_SECONDS if is_awaited or not self._told else _SILENT_SECONDS

    def _suspend(self, number: int, _: FrameType | None) -> None:
        """Show the cursor while the process is stopped by Ctrl-Z, and hide it again afterwards."""
        terminal = self._console.file.fileno()
        os.write(terminal, _SHOW_CURSOR)  # not through rich, which the signal may have interrupted
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # stops here, until `fg`
        signal.signal(number, self._suspend)
        os.write(terminal, _HIDE_CURSOR)

    def _refresh(self) -> None:
        self._undrawn_seconds = 0.0
        if self._live:
            self._live.update(self._view(), refresh=True)

    def _view(self) -> RenderableType:
        """Return the table, or nothing before there is one."""
        if self._summary is None:
            return Text()
        wall_seconds = self._summary.wall_seconds + self._quiet_seconds
        kept = self._kept_at_seconds
        return live_view(
            self._population,
            self._summary,
            self._running,
            self._budget,
            wall_seconds=wall_seconds,
            height=self._console.height,
            kept_seconds_ago=None if kept is None else wall_seconds - kept,
            noise_sd=self.noise_sd,
            metric=self.metric,
        )

    def _log(self, line: Text) -> None:
        """Print a line that stays, with the time of day in front of it."""
        self._undrawn_seconds = 0.0
        self._print(Text(f"{self._stamp()} ", style="dim") + line if self._stamp else line)

    def _print(self, view: RenderableType, *, crop: bool = True) -> None:
        soft_wrap = not self._console.is_terminal
        self._console.print(view, soft_wrap=soft_wrap, crop=crop, markup=False, highlight=False)


def _live(console: Console) -> Live | NotebookLive | None:
    """Return what shows the table that changes; None for plain lines."""
    if console.quiet:
        return None
    if console.is_terminal and not console.is_dumb_terminal:
        return Live(console=console, auto_refresh=False, redirect_stdout=True, redirect_stderr=True)
    return NotebookLive() if in_notebook() and console.file is sys.stdout else None


def _passed_seconds(before: Sequence[Running], now: Sequence[Running]) -> float:
    """Return the time between two ticks: the increase in age of work that is in both."""
    ages = {(each.number, each.stage): each.seconds for each in before}
    aged = (each.seconds - ages[each.number, each.stage] for each in now if (each.number, each.stage) in ages)
    return max((seconds for seconds in aged if seconds > 0), default=0.0)
