"""When a candidate becomes the champion, and what has to be measured before anyone believes it.

A rule is a pure function of a trial and the population. Training seeds are the harness's, never the candidate's; both
sides are compared on the same seeds, because pairing removes most of the noise between similar programs.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from typing import Protocol

from operators.population import Population
from operators.trial import Status, Trial
from search.contrast import doubt
from target.evaluation import Evaluation, Outcome


@dataclass(frozen=True, slots=True)
class Measure:
    """Trainings that are needed before a verdict.

    Attributes:
        trainings: (trial number, training seed) pairs, none of them measured yet.
    """

    trainings: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The final status of a trial.

    Attributes:
        status: BASELINE, KEEP, DISCARD or the outcome that ended it.
        detail: Why, if that is not plain from the status.
    """

    status: Status
    detail: str = ""


class Acceptance(Protocol):
    """Decides about pending trials."""

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Return what a built, undecided trial needs next: trainings, or its verdict."""


class Naive:
    """Lower on one seed is better. The control: about 4 of 100 equal candidates pass for an improvement.

    Args:
        seed: Seed of the search, from which the training seeds derive.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Compare one training with the champion's on the same seed."""
        seeds = (training_seed(self._seed, 0),)
        return _first_measurements(trial, seeds) or _compare(trial, population.champion, seeds)


class Confirm:
    """The mean of two seeds must beat the champion's mean on the same two; each keep rotates the pair.

    The first seed is a gate: who is not better there, or on any seed it shares with the champion, is discarded without
    a second training. Rotation keeps a champion from living on the luck of the pair that made it: the new champion is
    measured again on the new pair, as soon as a candidate needs the comparison.

    Args:
        seed: Seed of the search, from which the training seeds derive.
        contrast_noise_bpb: Standard deviation of D5 between trainings of one program; see `search/contrast.py`.

    Source: chosen by simulation over k-sigma thresholds, races and the naive rule at equal trainings.
    """

    def __init__(self, *, seed: int, contrast_noise_bpb: float = 0.025) -> None:
        self._seed = seed
        self._contrast_noise_bpb = contrast_noise_bpb

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Gate on the first seed of the pair, then compare on both."""
        champion = population.champion
        first, second = (training_seed(self._seed, 2 * population.keeps + index) for index in (0, 1))
        if champion is None:
            return _first_measurements(trial, (first, second)) or _compare(trial, None, (first, second))
        needed = _first_measurements(trial, (first,))
        if needed:
            return needed
        shared = tuple(seed for seed in trial.values if champion.measurement(seed))
        if shared and not _mean(trial, shared) < _mean(champion, shared):
            return Verdict(Status.DISCARD)
        missing = _missing((trial, champion), (first,))
        if missing:
            return Measure(missing)
        verdict = _compare(trial, champion, (first, second))
        if isinstance(verdict, Verdict) and verdict.status is Status.KEEP:
            return Verdict(Status.KEEP, doubt(trial, champion, self._contrast_noise_bpb))
        return verdict


def training_seed(search_seed: int, index: int) -> int:
    """Return the `index`-th training seed of a search, a 31-bit integer."""
    return random.Random(f"training {search_seed} {index}").getrandbits(31)


def _first_measurements(trial: Trial, seeds: tuple[int, ...]) -> Measure | Verdict | None:
    """Return what a trial needs before it can be compared at all, its failure, or None if it can be compared."""
    failure = next((run for run in trial.evaluations if run.outcome is not Outcome.OK), None)
    if failure:
        return Verdict(Status(failure.outcome.value), failure.detail)
    if trial.evaluations and trial.number:  # an earlier pair's seed will do for the gate
        return None
    missing = _missing((trial,), seeds)
    return Measure(missing) if missing else None


def _compare(trial: Trial, champion: Trial | None, seeds: tuple[int, ...]) -> Measure | Verdict:
    if champion is None:
        return Verdict(Status.BASELINE)
    missing = _missing((trial, champion), seeds)
    if missing:
        return Measure(missing)
    return Verdict(Status.KEEP if _mean(trial, seeds) < _mean(champion, seeds) else Status.DISCARD)


def _missing(trials: tuple[Trial, ...], seeds: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((trial.number, seed) for trial in trials for seed in seeds if not trial.measurement(seed))


def _value(trial: Trial, seed: int) -> float:
    """Return the score of one training; a champion that fails on a seed loses there to whoever does not."""
    run: Evaluation | None = trial.measurement(seed)
    return math.inf if run is None or run.val_bpb is None else run.val_bpb


def _mean(trial: Trial, seeds: tuple[int, ...]) -> float:
    return statistics.fmean(_value(trial, seed) for seed in seeds)
