"""What the console says of a training under way: its loss, and in brackets its distance from the champion's by then."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from operators.population import Population
from operators.trial import Trial
from search.observer import Running
from search.runs.rundir import RunDirectory
from search.tasks import Stage
from target.evaluation import Outcome
from target.running_curve import read_running_loss
from target.stopping import smoothed

_LOOK_SECONDS: Final = 1.0


class Losses:
    """Adds to the work under way the losses of trainings that report one; looks at their files once a second.

    Args:
        run: Folder of the search.
        clock: Monotonic seconds.
    """

    def __init__(self, run: RunDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._champion: Trial | None = None
        self._next_look = clock()
        self._texts: dict[int, str] = {}

    def recorded(self, population: Population) -> None:
        """Note with whom trainings are compared."""
        self._champion = population.champion

    def added_to(self, running: Sequence[Running]) -> list[Running]:
        """Return the work under way with the losses."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            numbers = [each.number for each in running if each.stage == Stage.MEASURE]
            self._texts = {number: _loss_text(number, self._champion, self._run) for number in numbers}
        return [replace(each, loss=self._texts.get(each.number, "")) for each in running]


def _loss_text(number: int, champion: Trial | None, run: RunDirectory) -> str:
    found = read_running_loss(run.trial(number))
    if found is None:
        return ""
    seconds, loss = found
    theirs = None if champion is None or champion.number == number else champion_loss(champion, seconds)
    return f"loss {loss:.3f}" if theirs is None else f"loss {loss:.3f} ({loss - theirs:+.3f})"


def champion_loss(champion: Trial, seconds: float) -> float | None:
    """Return the mean loss of a champion's trainings at a time of the clock, smoothed in the same way; None if unknown.

    Args:
        champion: The champion.
        seconds: Time since the start of a training, by the clock of the target.
    """
    curves = (run.curve for run in champion.evaluations if run.outcome is Outcome.OK)
    losses = [loss for curve in curves if (loss := smoothed(curve, seconds)) is not None]
    return statistics.fmean(losses) if losses else None
