"""All trials of a search, finished and pending, for strategies, operators and acceptance rules."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from operators.scores import posterior, seed_adjusted
from operators.trial import Status, Trial


@dataclass(frozen=True)
class Population:
    """An immutable view of the trials.

    Attributes:
        trials: By number, without gaps: `trials[n].number == n`.
    """

    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        if any(trial.number != index for index, trial in enumerate(self.trials)):
            raise ValueError(f"trials must be numbered without gaps, got {[trial.number for trial in self.trials]}")

    @functools.cached_property
    def scored(self) -> tuple[Trial, ...]:
        """Trials with a valid score, by number."""
        return tuple(trial for trial in self.trials if trial.scored)

    @functools.cached_property
    def pending(self) -> tuple[Trial, ...]:
        """Proposed trials without a verdict yet, by number."""
        return tuple(trial for trial in self.trials if trial.status is Status.PENDING)

    @functools.cached_property
    def champion(self) -> Trial | None:
        """The trial kept last, or the baseline; None before the baseline is scored."""
        kept = (trial for trial in self.trials if trial.status in (Status.BASELINE, Status.KEEP))
        return max(kept, key=_rank, default=None)

    @functools.cached_property
    def keeps(self) -> int:
        """How often the champion has changed."""
        return sum(trial.status is Status.KEEP for trial in self.trials)

    @functools.cached_property
    def decided(self) -> tuple[Trial, ...]:
        """Trials with a verdict, in the order of the verdicts."""
        return tuple(sorted((trial for trial in self.trials if trial.decided is not None), key=_rank))

    @functools.cached_property
    def trainings(self) -> int:
        """Finished trainings that count against the budget."""
        return sum(trial.trainings for trial in self.trials)

    @functools.cached_property
    def cost_usd(self) -> float:
        """Cost of the model calls of this search; those of imported trials belong to another search."""
        return sum(trial.cost_usd for trial in self.trials if not trial.imported)

    def find(self, program_id: str) -> Trial | None:
        """Return the trial of a program, or None if it has not been built before."""
        return next((trial for trial in self.trials if trial.program and trial.program.id == program_id), None)

    def children(self, number: int) -> tuple[Trial, ...]:
        """Return the trials that have this one as a parent, pending ones included."""
        return tuple(trial for trial in self.trials if number in trial.proposal.parents)

    @functools.cached_property
    def scores(self) -> dict[int, float]:
        """Score by trial, as it would be on the seeds of the baseline; lower is better.

        Trials are compared by this score, because plain means of trainings on different seeds differ by luck. It has
        the scored trials, and the pending ones with their measurements so far.
        """
        values = self._values
        return seed_adjusted(values, min(values)) if values else {}

    @functools.cached_property
    def posterior(self) -> dict[int, tuple[float, float]]:
        """Posterior mean of the score and its standard error by trial: for the same trials and scale as `scores`.

        The mean is the score, shrunk towards the middle of all scores by as much as noise explains. The standard error
        is infinite as long as no program was trained on two seeds.
        """
        values = self._values
        return posterior(values, min(values)) if values else {}

    @functools.cached_property
    def _values(self) -> dict[int, dict[int, float]]:
        measured = (trial for trial in self.trials if trial.scored or trial.status is Status.PENDING)
        return {trial.number: trial.values for trial in measured if trial.values}

    def gain(self, trial: Trial) -> float:
        """Return by how much a trial is better than its first parent, in bits per byte; 0 if it is not, or unknown."""
        parent = next(iter(trial.proposal.parents), None)
        if parent is None or not trial.scored or parent not in self.scores:
            return 0.0
        return max(0.0, self.scores[parent] - self.scores[trial.number])

    def ranked(self) -> list[Trial]:
        """Return the scored trials, best first; equal scores in order of number."""
        return sorted(self.scored, key=lambda trial: (self.scores[trial.number], trial.number))

    def with_trial(self, trial: Trial) -> Population:
        """Return the population with a trial added, or replaced if its number is known."""
        if trial.number == len(self.trials):
            return Population((*self.trials, trial))
        return Population((*self.trials[: trial.number], trial, *self.trials[trial.number + 1 :]))


def _rank(trial: Trial) -> int:
    return -1 if trial.decided is None else trial.decided
