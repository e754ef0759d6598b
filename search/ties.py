"""Which of two programs wins if their scores are as good as equal: `acceptance.prefer`.

A candidate with the better figure wins a tie if the posterior of the difference says, with `CONFIDENCE`, that it is not
worse by more than a limit. One with the worse figure wins only with a gain beyond that limit. The score still decides
everything else.

A tie is judged against the best champion so far. If it were judged against the present one, twenty ties in a row could
each lose a little more. So a champion is never far from the best one, however many ties there were.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from operators.population import Population
from operators.trial import Trial
from search.errors import UserError
from target.evaluation import Outcome

CONFIDENCE: Final = 0.9  # one-sided: of ten programs that are worse by just the limit, about one is called a tie
LEAST_LIMIT_BPB: Final = 0.001
"""Smallest limit that is used if the user gives none: what autoresearch calls not worth twenty lines of code."""

_ROUNDING: Final = 1e-12  # of a standard error: all trainings of a program are equal
_FEWEST: Final = 2  # trainings of a winner: the second one has the more thorough probes


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a program; less is better.

    Attributes:
        of: Returns the figure of a trial; None if it was not measured.
        margin: Smallest difference that counts, as a share of the larger figure.
        words: What it counts, after a number.
        told: What the better program has, after `the one with`.
    """

    of: Callable[[Trial], float | None]
    margin: float
    words: str
    told: str


def _n_parameters(trial: Trial) -> float | None:
    return next((float(run.n_parameters) for run in trial.evaluations if run.n_parameters), None)


def _code_tokens(trial: Trial) -> float | None:
    return float(trial.program.code_tokens) if trial.program else None


def _train_seconds(trial: Trial) -> float | None:
    seconds = [run.train_seconds for run in trial.evaluations if run.outcome is Outcome.OK and run.train_seconds > 0]
    return statistics.fmean(seconds) if seconds else None


FIGURES: Final = {
    "smaller": Figure(_n_parameters, 0.01, "parameters", "fewer parameters"),
    "simpler": Figure(_code_tokens, 0.01, "tokens of code", "fewer tokens of code, comments and layout left out,"),
    "faster": Figure(_train_seconds, 0.05, "training seconds", "the shorter training"),
}
"""The figure of each preference. Times differ between trainings of one program, so they have a larger margin."""


def sentences(acceptance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the preference in the settings of an acceptance rule, for the author of a program; none if it has none."""
    figure, limit = FIGURES.get(str(acceptance.get("prefer"))), acceptance.get("prefer_bpb")
    if figure is None:
        return ()
    within = "not more than the noise of a training" if limit is None else f"at most {limit:g}"
    return (f"Of two programs whose scores differ by {within}, the one with {figure.told} wins.",)


def require_figure(acceptance: Mapping[str, Any], *, trains: bool) -> None:
    """Check that a target can have the preferred figure.

    Args:
        acceptance: The settings of the rule.
        trains: Whether the target trains programs.

    Raises:
        UserError: It has none.
    """
    prefer = acceptance.get("prefer")
    if not trains and prefer in FIGURES and prefer != "simpler":
        raise UserError(
            f"acceptance.prefer={prefer} needs measured {FIGURES[prefer].words}, and this target trains nothing; give "
            "acceptance.prefer=simpler or null"
        )


@dataclass(frozen=True, slots=True)
class Tie:
    """Whether a candidate with the better figure wins although its score is not better.

    Attributes:
        trainings: (trial number, training seed) pairs without which this cannot be said; empty if it can.
        wins: Whether it wins.
        text: Why, for the verdict; empty if there is nothing to say.
    """

    trainings: tuple[tuple[int, int], ...] = ()
    wins: bool = False
    text: str = ""


class Ties:
    """Judges ties for an acceptance rule; a pure function of a trial and the population, as the rules are.

    Args:
        prefer: One of `FIGURES`.
        limit_bpb: Largest loss of a tie, in the unit of the score; None for the standard deviation of a training, as
            the search measures it, or `LEAST_LIMIT_BPB` if that is larger.
        samples: Most trainings of each of the two programs.
        seed: Seed of the search, from which the training seeds derive.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, prefer: str, *, limit_bpb: float | None, samples: int, seed: int) -> None:
        if prefer not in FIGURES:
            raise ValueError(f"prefer must be null or one of {', '.join(FIGURES)}, got {prefer!r}")
        if limit_bpb is not None and not 0 < limit_bpb < math.inf:
            raise ValueError(
                f"prefer_bpb must be positive, got {limit_bpb:g}: it is the largest loss of a tie; "
                "give prefer=null for no ties"
            )
        if samples < 2:
            raise ValueError(f"prefer_samples must be at least 2, got {samples}: one training says nothing about noise")
        self._prefer = prefer
        self._figure = FIGURES[prefer]
        self._limit_bpb = limit_bpb
        self._samples = samples
        self._seed = seed

    def unmeasured(self, trial: Trial) -> str:
        """Return why nothing can be preferred, judged by the baseline; empty if it can."""
        if self._figure.of(trial) is not None:
            return ""
        return (
            f"acceptance.prefer={self._prefer}, and this target does not measure {self._figure.words}; "
            "give acceptance.prefer=simpler, which needs no measurement, or null"
        )

    def too_small(self, trial: Trial, champion: Trial, population: Population) -> str:
        """Return why a candidate with the better score does not win; empty if it does."""
        gain, limit = population.scores[champion.number] - population.scores[trial.number], self._limit(population)
        failed = any(run.score is None for run in champion.evaluations)
        if self._advantage(trial, champion) >= 0 or gain > limit or failed:
            return ""
        return f"tie: a gain of {gain:.4f} is within {self._limit_text(limit)}; {self._compared(trial, champion)}"

    def tie(self, trial: Trial, champion: Trial, population: Population) -> Tie:
        """Return whether a candidate without a better score wins."""
        if self._advantage(trial, champion) <= 0:
            return Tie()
        best = min(population.champions, key=lambda each: population.posterior[each.number][0])
        limit, loss = self._limit(population), population.scores[trial.number] - population.scores[best.number]
        most = loss + _largest_error(population.error_between(trial.number, best.number), population.noise_freedom)
        against = f"trial {best.number}" + ("" if best.number == champion.number else ", the best champion so far")
        size = f"{abs(loss):.4f} {'worse' if loss > 0 else 'better'} than {against}"
        if most <= limit and len(trial.values) >= _FEWEST:
            bound = f"at most {most:.4f} worse" if most > 0 else "not worse"
            text = f"tie: {size}, {bound} with {CONFIDENCE:.0%} confidence, which is within {self._limit_text(limit)}"
            return Tie(wins=True, text=f"{text}; {self._compared(trial, champion)}")
        if loss > limit:
            return Tie()
        bound = "" if math.isinf(most) else f", at most {most:.4f} worse with {CONFIDENCE:.0%} confidence"
        return Tie(self._next_pair(trial, best), text=f"no tie: {size}{bound}: not within {self._limit_text(limit)}")

    def _next_pair(self, trial: Trial, best: Trial) -> tuple[tuple[int, int], ...]:
        """Return trainings that give both programs one more seed; empty if they have as many as they may have."""
        for seed in dict.fromkeys(itertools.chain(best.values, trial.values, self._seeds())):
            missing = [each for each in (trial, best) if not each.measurement(seed)]
            if missing and all(len(each.evaluations) < self._samples for each in missing):
                return tuple((each.number, seed) for each in missing)
        return ()

    def _seeds(self) -> Iterator[int]:
        """Yield the seeds of ties, which are the same for all programs of the search."""
        return (random.Random(f"tie {self._seed} {index}").getrandbits(31) for index in range(self._samples))

    def _limit(self, population: Population) -> float:
        return self._limit_bpb or max(LEAST_LIMIT_BPB, population.noise_sd or 0.0)

    def _limit_text(self, limit: float) -> str:
        if self._limit_bpb is not None:
            return f"acceptance.prefer_bpb={limit:g}"
        return f"{limit:.4f}, " + ("the default limit" if limit <= LEAST_LIMIT_BPB else "the sd of a training")

    def _advantage(self, trial: Trial, other: Trial) -> float:
        """Return by how much less a trial has of the figure than another, as a share; 0 within the margin."""
        own, its = (self._figure.of(each) for each in (trial, other))
        if own is None or its is None:
            return (its is None) - (own is None)  # what is not measured is not preferred
        share = (its - own) / max(own, its)
        return share if abs(share) >= self._figure.margin else 0.0

    def _compared(self, trial: Trial, champion: Trial) -> str:
        own, its = (self._figure.of(each) for each in (trial, champion))
        shown = ["an unknown number of" if each is None else f"{each:,.6g}" for each in (own, its)]
        return f"it has {shown[0]} {self._figure.words}, trial {champion.number} has {shown[1]}"


def _largest_error(error: float | None, freedom: int) -> float:
    """Return how much larger a difference is at most, with `CONFIDENCE`; infinite if nothing tells it.

    Args:
        error: Standard error of the difference; None if it is not known.
        freedom: Degrees of freedom of the standard error.
    """
    from scipy.special import stdtrit

    if error is not None and error < _ROUNDING:
        return 0.0
    return math.inf if error is None or not freedom else error * float(stdtrit(freedom, CONFIDENCE))
