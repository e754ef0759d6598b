"""What the console says of a training under way: its loss, and in brackets its distance from the champion's by then."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from operators.population import Population
from operators.trial import Trial
from search.observer import Running
from search.runs.rundir import RunDirectory
from search.tasks import Stage
from target.evaluation import Outcome
from target.running_curve import read_running_loss
from target.stopping import smoothed


def with_losses(running: Sequence[Running], population: Population, run: RunDirectory) -> list[Running]:
    """Return the work under way, with the losses of trainings that report one.

    Args:
        running: The work under way.
        population: Has the champion, with which they are compared.
        run: Folder of the search.
    """
    return [
        replace(each, loss=_loss_text(each.number, population.champion, run)) if each.stage == Stage.MEASURE else each
        for each in running
    ]


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
