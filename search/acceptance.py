"""When a candidate becomes the champion, and what has to be measured first.

A rule is a pure function of a trial and the population. The harness chooses the training seeds, never the candidate.
Both programs are compared on the same seeds, because pairing removes most of the noise between similar programs.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import dataclass
from typing import Final, Protocol

from operators.population import Population
from operators.trial import Status, Trial
from search.ties import Ties
from target.evaluation import Evaluation

_CONTRAST: Final = "d5_contrast_bpb"
_DOUBTFUL_DEVIATIONS: Final = 3.0  # of one program; for a difference of two programs, that is about 2
_REACH_STANDARD_ERRORS: Final = 2.0  # a scored program this close to the champion may be as good
_ROUNDING: Final = 1e-12  # of a score: means of scores with few decimals are often equal but for the last digit


@dataclass(frozen=True, slots=True)
class Measure:
    """Trainings needed before a verdict.

    Attributes:
        trainings: (trial number, training seed) pairs, none of them measured yet.
    """

    trainings: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The final status of a trial.

    Attributes:
        status: BASELINE, KEEP, DISCARD or the outcome that ended it.
        detail: Why, if the status does not say it.
        tie: Whether a tie decided, so that the status says who won it.
    """

    status: Status
    detail: str = ""
    tie: bool = False


class Acceptance(Protocol):
    """Decides about pending trials, and whether a program that is proposed again is trained once more."""

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Return what a built, pending trial needs next: trainings or a verdict. None of its trainings has failed.

        A failure of the seed program is left out of `trial`; `population.trials[0]` has it. A rule that asks for that
        seed again ends the search.
        """

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        """Return the training that a scored trial gets because its program was proposed again; None if it gets none."""


class Naive:
    """Lower on one seed is better. The control: about 4 of 100 equally good candidates count as an improvement.

    Args:
        seed: Seed of the search, from which the training seeds derive.
        prefer: None; the other rules have preferences.

    Raises:
        ValueError: If a preference is given.
    """

    def __init__(self, *, seed: int, prefer: str | None = None) -> None:
        if prefer is not None:
            raise ValueError(
                f"prefer={prefer} needs programs that are trained more than once, and naive trains each once; give "
                "another rule, such as acceptance=confirm_fixed"
            )
        self._seed = seed

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Compare one training with the champion's on the same seed."""
        seeds = _usable_seeds(self._seed, 0, 1, population)
        return _first_measurements(trial, seeds) or _compare(trial, population.champion, seeds)

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        """Return None: there is one seed, and every trial has it."""
        del trial, population
        return None


class Confirm:
    """The mean of a few seeds must beat the champion's mean on the same ones.

    Seeds are trained one after the other. After each training, a candidate that is not better than the champion on the
    seeds that both have is discarded. If each keep rotates the seeds, a champion cannot benefit from lucky seeds for
    long: it is measured again on the new seeds as soon as a candidate needs the comparison. That costs trainings, and
    a champion with bad luck on the new seeds loses to a candidate that is no better.

    A program that is proposed again gets one more training, on a current seed that it does not have yet, if its
    posterior mean is within two standard errors of the champion's. So more is learned about programs that may be as
    good, and a strategy that repeats itself cannot spend its whole budget on repeats.

    Args:
        seed: Seed of the search, from which the training seeds derive.
        seeds: Trainings of each program in a comparison.
        rotate: Whether each keep rotates the seeds.
        max_samples: Once a program has this many trainings, repeats add no more.
        contrast_noise_bpb: Standard deviation of D5 between trainings of one program; see `doubt`.
        prefer: Which program wins a tie: the `smaller`, the `simpler` or the `faster` one; None for no ties.
        prefer_bpb: Largest loss of a tie, in the unit of the score; None for the standard deviation of a training, but
            at least 0.001.
        prefer_samples: Most trainings of each of two programs that may be a tie.

    Raises:
        ValueError: If an argument is out of range.

    Source: chosen by simulation over k-sigma thresholds, races and the naive rule, at equal numbers of trainings;
    `benchmarks/acceptance.py` compares the rules in `conf/acceptance`.
    """

    def __init__(
        self,
        *,
        seed: int,
        seeds: int = 2,
        rotate: bool = True,
        max_samples: int = 4,
        contrast_noise_bpb: float = 0.025,
        prefer: str | None = None,
        prefer_bpb: float | None = None,
        prefer_samples: int = 6,
    ) -> None:
        if seeds < 1 or max_samples < 0:
            raise ValueError(f"seeds must be at least 1 and max_samples at least 0, got {seeds} and {max_samples}")
        self._seed = seed
        self._seeds = seeds
        self._rotate = rotate
        self._max_samples = max_samples
        self._contrast_noise_bpb = contrast_noise_bpb
        self._ties: Ties | None = None
        if prefer is not None:
            self._ties = Ties(prefer, limit_bpb=prefer_bpb, samples=prefer_samples, seed=seed)
        elif prefer_bpb is not None:
            raise ValueError(f"prefer_bpb={prefer_bpb:g} has no effect without prefer=smaller, simpler or faster")

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Compare by the score, then see whether it is a tie that the other program wins."""
        step = self._by_score(trial, population)
        if self._ties is None or isinstance(step, Measure):
            return step
        champion = population.champion
        if champion is None:
            unmeasured = self._ties.unmeasured(trial)
            return Verdict(Status.REJECTED, unmeasured) if unmeasured else step
        if step.status is Status.KEEP:
            too_small = self._ties.too_small(trial, champion, population)
            return Verdict(Status.DISCARD, too_small, tie=True) if too_small else step
        tie = self._ties.tie(trial, champion, population)
        if tie.trainings:
            return Measure(tie.trainings)
        if not tie.wins:
            return Verdict(Status.DISCARD, tie.text)
        return Verdict(Status.KEEP, "; ".join(filter(None, (tie.text, doubt_about_seeds(trial)))), tie=True)

    def _by_score(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Compare on one seed after the other, then on all of them together."""
        champion, current = population.champion, self._current(population)
        if champion is None:
            return _first_measurements(trial, current) or _compare(trial, None, current)
        needed = _first_measurements(trial, current[:1])
        if needed:
            return needed
        shared = tuple(seed for seed in trial.values if champion.measurement(seed))
        if shared and not _is_lower(trial, champion, shared):
            return Verdict(Status.DISCARD)
        for seed in current:
            missing = _missing((trial, champion), (seed,))
            if missing:
                return Measure(missing)
        verdict = _compare(trial, champion, current)
        if isinstance(verdict, Verdict) and verdict.status is Status.KEEP:
            doubts = (doubt(trial, champion, self._contrast_noise_bpb), doubt_about_seeds(trial))
            return Verdict(Status.KEEP, "; ".join(filter(None, doubts)))
        return verdict

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        """Return one more training of a program that may be as good as the champion."""
        fresh = [seed for seed in self._current(population) if not trial.measurement(seed)]
        if not fresh or len(trial.evaluations) >= self._max_samples or not _within_reach(trial, population):
            return None
        return Measure(((trial.number, fresh[0]),))

    def _current(self, population: Population) -> tuple[int, ...]:
        """Return the training seeds that comparisons currently use."""
        first = self._seeds * population.keeps if self._rotate else 0
        return _usable_seeds(self._seed, first, self._seeds, population)


def training_seed(search_seed: int, index: int) -> int:
    """Return the `index`-th training seed of a search, a 31-bit integer."""
    return random.Random(f"training {search_seed} {index}").getrandbits(31)


def _usable_seeds(search_seed: int, first: int, count: int, population: Population) -> tuple[int, ...]:
    """Return training seeds of a search, from the `first`-th on, without those on which the seed program failed."""
    failed = {run.seed for trial in population.trials[:1] for run in trial.evaluations if run.score is None}
    seeds = (training_seed(search_seed, index) for index in itertools.count(first))
    return tuple(itertools.islice((seed for seed in seeds if seed not in failed), count))


def _first_measurements(trial: Trial, seeds: tuple[int, ...]) -> Measure | None:
    """Return what a trial needs before it can be compared at all; None if it can be compared."""
    if trial.evaluations and trial.number:  # a seed of an earlier pair is enough for the first comparison
        return None
    missing = _missing((trial,), seeds)
    return Measure(missing) if missing else None


def _compare(trial: Trial, champion: Trial | None, seeds: tuple[int, ...]) -> Measure | Verdict:
    if champion is None:
        return Verdict(Status.BASELINE)
    missing = _missing((trial, champion), seeds)
    if missing:
        return Measure(missing)
    return Verdict(Status.KEEP if _is_lower(trial, champion, seeds) else Status.DISCARD)


def _within_reach(trial: Trial, population: Population) -> bool:
    """Return whether, by its measurements, a scored trial may still be as good as the champion."""
    if population.champion is None:
        return False
    (mean, error), (best, best_error) = (population.posterior[each.number] for each in (trial, population.champion))
    return mean - best <= _REACH_STANDARD_ERRORS * math.hypot(error, best_error)


def _missing(trials: tuple[Trial, ...], seeds: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((trial.number, seed) for trial in trials for seed in seeds if not trial.measurement(seed))


def _value(trial: Trial, seed: int) -> float:
    """Return the score of one training; a champion that fails on a seed loses to a candidate that does not."""
    run: Evaluation | None = trial.measurement(seed)
    return math.inf if run is None or run.score is None else run.score


def _mean(trial: Trial, seeds: tuple[int, ...]) -> float:
    return statistics.fmean(_value(trial, seed) for seed in seeds)


def _is_lower(trial: Trial, champion: Trial, seeds: tuple[int, ...]) -> bool:
    """Return whether the mean of a trial on some seeds is lower than the champion's, by more than rounding."""
    own, its = _mean(trial, seeds), _mean(champion, seeds)
    tolerance = _ROUNDING * max(abs(_value(trial, seed)) for seed in seeds)
    return own < its and not math.isclose(own, its, abs_tol=tolerance)


def doubt_about_seeds(trial: Trial) -> str:
    """Return what is doubtful about trainings of one program that end with the same weights on different seeds.

    Such a program ignores the seed it is given, so its trainings all share one random draw.
    """
    seeds: dict[str, set[int]] = {}
    for run in trial.evaluations:
        if run.weights_sha256:
            seeds.setdefault(run.weights_sha256, set()).add(run.seed)
    equal = next((sorted(those) for those in seeds.values() if len(those) > 1), None)
    if equal is None:
        return ""
    return (
        f"doubtful: the trainings on the seeds {', '.join(map(str, equal))} gave the same weights, so the program does "
        "not use its seed, and repeating it says nothing about its luck"
    )


def doubt(trial: Trial, champion: Trial, noise_bpb: float) -> str:
    """Return what is doubtful about a gain over the champion; empty if nothing is, or if it cannot be determined.

    D5 checks whether a gain on the validation text also appears on text that no training uses. An honest gain is about
    as large there, so the contrast, bpb(validation) - bpb(other), does not change. A model that has seen the
    validation text gains only there, and its contrast falls. The result is reported with the verdict but decides
    nothing, because an honest change may also suit one of the texts better.

    Args:
        trial: The candidate.
        champion: The champion that it is compared with.
        noise_bpb: Standard deviation of the contrast between trainings of one program.
    """
    pairs = [
        (own, other)
        for own in trial.evaluations
        if (other := champion.measurement(own.seed)) and _CONTRAST in own.probes and _CONTRAST in other.probes
    ]
    if not pairs:
        return ""
    gain = statistics.fmean((other.score or 0.0) - (own.score or 0.0) for own, other in pairs)
    shift = statistics.fmean(own.probes[_CONTRAST] - other.probes[_CONTRAST] for own, other in pairs)
    if not -shift > max(gain / 2, _DOUBTFUL_DEVIATIONS * noise_bpb):
        return ""
    return (
        f"doubtful: of {gain:.4f} bpb gained on the validation text only {gain + shift:.4f} are gained on other text; "
        "has the program seen the validation text?"
    )
