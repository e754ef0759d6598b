"""All trials of a search, finished and pending, for strategies, operators and acceptance rules."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from operators.scores import Measurements
from operators.tally import Tally
from operators.trial import Status, Trial


@dataclass(frozen=True)
class Population:
    """An immutable view of the trials.

    What is derived from the trials is handed on to the next population, where it is changed by one trial. So a verdict
    in a search of ten thousand trials takes hardly longer than one in a new search.

    Attributes:
        trials: By number, without gaps: `trials[n].number == n`.
        tally: Sums and selections over the trials; counted if not given.
    """

    trials: tuple[Trial, ...] = ()
    tally: Tally = field(default=None, repr=False, compare=False)  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.tally is not None:  # by `with_trial`, which has checked the number
            return
        if any(trial.number != index for index, trial in enumerate(self.trials)):
            raise ValueError(f"trials must be numbered without gaps, got {[trial.number for trial in self.trials]}")
        object.__setattr__(self, "tally", Tally.of(self.trials))

    @property
    def scored(self) -> tuple[Trial, ...]:
        """Trials with a valid score, by number."""
        return self.tally.scored

    @property
    def pending(self) -> tuple[Trial, ...]:
        """Proposed trials without a verdict yet, by number."""
        return self.tally.pending

    @property
    def champions(self) -> tuple[Trial, ...]:
        """The baseline and all trials that were kept, in the order of the verdicts."""
        return self.tally.champions

    @property
    def failed_checks(self) -> tuple[Trial, ...]:
        """Trials whose training failed a check, whether it was stopped or ran on, in the order of the verdicts."""
        return self.tally.failed_checks

    @property
    def out_of_memory(self) -> tuple[Trial, ...]:
        """Trials that ran out of memory, in the order of the verdicts."""
        return self.tally.out_of_memory

    @property
    def champion(self) -> Trial | None:
        """The trial kept last, or the baseline; None before the baseline is scored."""
        return self.champions[-1] if self.champions else None

    def champion_before(self, trial: Trial) -> Trial | None:
        """Return the champion at the time of the verdict on a trial; for a pending trial, the current champion."""
        if trial.decided is None:
            return self.champion
        place = bisect_left(self.champions, trial.decided, key=lambda champion: champion.decided or 0)
        return self.champions[place - 1] if place else None

    @property
    def since_keep(self) -> tuple[Trial, ...]:
        """Trials decided since the last keep or the baseline, whatever the verdict; without imported trials."""
        last = self.champion.decided if self.champion else None
        return () if last is None else tuple(trial for trial in self.decided[last + 1 :] if not trial.imported)

    @property
    def keeps(self) -> int:
        """How often the champion has changed."""
        return sum(trial.status is Status.KEEP for trial in self.champions)

    @property
    def decided(self) -> tuple[Trial, ...]:
        """Trials with a verdict, in the order of the verdicts."""
        return self.tally.decided

    @property
    def trainings(self) -> int:
        """Finished trainings that count against the budget."""
        return self.tally.trainings

    @property
    def cost_usd(self) -> float:
        """Cost of the model calls of this search; those of imported trials belong to another search."""
        return float(self.tally.cost_usd)

    @property
    def device_seconds(self) -> float:
        """Device time of all trainings and scores, by the clock of the target."""
        return float(self.tally.device_seconds)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of decided trials by outcome."""
        return self.tally.outcomes

    @property
    def staleness(self) -> float | None:
        """Mean number of verdicts between a proposal and its first training; None if no trial has one."""
        total, count = self.tally.staleness
        return total / count if count else None

    @property
    def reapplied(self) -> int:
        """Number of trials whose edit was made to a newer champion than the one it was proposed for."""
        return self.tally.reapplied

    def find(self, program_id: str) -> Trial | None:
        """Return the trial of a program, or None if it has not been built before."""
        number = self._programs.get(program_id)
        return None if number is None else self.trials[number]

    @functools.cached_property
    def _programs(self) -> dict[str, int]:
        """The first trial of each program, by the program's id."""
        return {trial.program.id: trial.number for trial in reversed(self.trials) if trial.program}

    def spare(self, program_id: str) -> Trial | None:
        """Return the trial for which a program was made and left out; None if there is none."""
        number = self._spares.get(program_id)
        return None if number is None else self.trials[number]

    @functools.cached_property
    def _spares(self) -> dict[str, int]:
        made = ((trial.number, trial.mutation) for trial in self.trials if trial.mutation)
        return {program.id: number for number, mutation in made for program in mutation.spares}

    def children(self, number: int) -> tuple[Trial, ...]:
        """Return the trials that have this one as a parent, pending ones included."""
        return tuple(trial for trial in self.trials if number in trial.proposal.parents)

    @property
    def scores(self) -> Mapping[int, float]:
        """Score by trial, as it would be on the seeds of the baseline; lower is better.

        Trials are compared by this score, because plain means of trainings on different seeds differ by luck. It has
        the scored trials, and the pending ones with their measurements so far.
        """
        return self._measurements.scores

    @property
    def posterior(self) -> Mapping[int, tuple[float, float]]:
        """Posterior mean of the score and its standard error by trial: for the same trials and scale as `scores`.

        The mean is the score, shrunk towards the middle of all scores by as much as noise explains. The standard error
        is infinite as long as no program was trained on two seeds.
        """
        return self._measurements.posterior

    @property
    def noise_sd(self) -> float | None:
        """Standard deviation of a training between programs on one seed; None before a program had two seeds."""
        return self._measurements.residual_sd

    @property
    def noise_freedom(self) -> int:
        """Degrees of freedom of `noise_sd`: how many trainings tell it beside those that tell scores and seeds."""
        return self._measurements.freedom

    def error_between(self, number: int, other: int) -> float | None:
        """Return the standard error of the difference of the scores of two trials; None if it is not known."""
        return self._measurements.error_between(number, other)

    @functools.cached_property
    def _measurements(self) -> Measurements:
        return Measurements({trial.number: values for trial in self.trials if (values := _comparable(trial))})

    def gain(self, trial: Trial) -> float:
        """Return by how much a trial is better than its first parent, in bits per byte; 0 if it is not, or unknown."""
        parent = next(iter(trial.proposal.parents), None)
        if parent is None or not trial.scored or parent not in self.scores:
            return 0.0
        return max(0.0, self.scores[parent] - self.scores[trial.number])

    def ranked(self) -> list[Trial]:
        """Return the scored trials, best first; equal scores in order of number."""
        return list(self._ranked)

    @functools.cached_property
    def _ranked(self) -> tuple[Trial, ...]:
        best_first = (self.trials[number] for number in self._measurements.best_first())
        return tuple(trial for trial in best_first if trial.scored)

    def with_trial(self, trial: Trial) -> Population:
        """Return the population with a trial added, or replaced if its number is known.

        Raises:
            ValueError: There would be a gap before its number.
        """
        if trial.number > len(self.trials):
            raise ValueError(f"trials must be numbered without gaps, got {trial.number} after {len(self.trials) - 1}")
        old = self.trials[trial.number] if trial.number < len(self.trials) else None
        trials = list(self.trials)
        trials[trial.number : trial.number + 1] = [trial]
        tally = self.tally.with_change(old, trial)
        grown = Population(tuple(trials)) if tally is None else Population(tuple(trials), tally)
        self._hand_on(grown, old, trial)
        return grown

    def _hand_on(self, grown: Population, old: Trial | None, new: Trial) -> None:
        """Give another population what is already known here, changed by one trial."""
        known = self.__dict__
        if "_programs" in known and (old is None or old.program in (None, new.program)):
            fresh = old is None or old.program is None
            programs = self._programs
            if fresh and new.program and programs.get(new.program.id, new.number) >= new.number:
                programs = {**programs, new.program.id: new.number}
            grown.__dict__["_programs"] = programs
        if "_spares" in known and not (new.mutation and new.mutation.spares):
            grown.__dict__["_spares"] = self._spares
        elif "_spares" in known and new.mutation:
            grown.__dict__["_spares"] = {**self._spares, **{each.id: new.number for each in new.mutation.spares}}
        if "_measurements" in known:
            before, after = _comparable(old) if old else {}, _comparable(new)
            changed = self._measurements if before == after else self._measurements.with_row(new.number, after)
            if changed is not None:
                grown.__dict__["_measurements"] = changed


def _comparable(trial: Trial) -> dict[int, float]:
    """Return the measurements of a trial by which it is compared with others."""
    return trial.values if trial.scored or trial.status is Status.PENDING else {}
