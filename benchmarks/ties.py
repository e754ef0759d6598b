"""What `acceptance.prefer` costs and how often it is wrong: ties between programs whose true values are known.

    python benchmarks/ties.py [--trainings 120] [--searches 40] [--correlation 0] [--json FILE]

The greedy searches of `benchmarks/acceptance.py` with two changes. A child has 3 % more or 3 % fewer parameters than
its parent, by the toss of a coin. One child in seven is truly equal to its parent; of the others, 6 % are better.
The rule is `confirm_fixed` with `prefer=smaller`, or without it (`-`). `x` is `prefer_bpb`, in 1e-3 bpb; `null` is its
default.

    progress   true gain of the last champion over the baseline, in 1e-3 bpb, with the standard error of this mean
    size       parameters of the last champion, as a share of the baseline's
    ties       smaller programs that were kept as ties, per search
    false      of these, those truly worse by more than x than the champion that they replaced, per 100
    wrong      smaller candidates truly worse by x to 2x that became champion, per 100
    equal      smaller candidates truly equal to the champion that did not become champion, per 100
    missed     candidates truly better by more than x, smaller or not, that did not become champion, per 100
    runs       trainings per trial

The second table is the worst case of many ties: every child is smaller, and worse by x/5 to 2x. After 400 trainings the
last champion is truly worse than the best of all champions by `drift`, in units of x: mean and largest value of the
searches. The candidate is compared with the `best` champion so far, as the rule does; only with the `present` one; or
there are no ties (`none`), and only the luck of single candidates makes the champion worse.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.acceptance import BASELINE, CRASHES, PROGRAM, REGIMES, Simulation, settle
from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search.acceptance import Acceptance, Confirm, Measure, Verdict
from search.ties import LEAST_LIMIT_BPB
from target.evaluation import Evaluation
from target.words import user_path

SDS = (0.0005, 0.001, 0.002)
LIMITS = (0.001, 0.002, 0.004, None)
EQUAL = 1 / 7
STEP = 0.03
N_PARAMETERS = 1e8
LONG = 400  # trainings
DRIFT_LIMIT = 0.001


class Sized(Simulation):
    """A search among programs of different sizes.

    Args:
        sd: Standard deviation of a training.
        correlation: As in `benchmarks/acceptance.py`.
        seed: Seed of the search.
        worse: If given, every child is smaller, and worse by an amount between these, log-uniform.
    """

    def __init__(self, *, sd: float, correlation: float, seed: int, worse: tuple[float, float] | None = None) -> None:
        super().__init__(REGIMES["late"], sd=sd, correlation=correlation, inheritance=0.0, seed=seed)
        self._worse = worse
        self.size = [N_PARAMETERS]

    def propose(self, parent: int) -> None:
        """Draw a child of a program."""
        number = len(self.truth)
        rng = random.Random(f"{self._seed} size {number}")
        smaller = rng.random() < 0.5 or self._worse is not None
        self.size.append(self.size[parent] * (1 - STEP if smaller else 1 + STEP))
        super().propose(parent)
        if self._worse:
            low, high = map(math.log, self._worse)
            self.truth[number] = self.truth[parent] + math.exp(rng.uniform(low, high))
        elif rng.random() < EQUAL:
            self.truth[number] = self.truth[parent]

    def train(self, number: int, seed: int) -> Evaluation:
        """Return one training."""
        run = super().train(number, seed)
        return replace(run, n_parameters=round(self.size[number])) if run.score is not None else run


class Present:
    """A rule that knows only the present champion, and no earlier one."""

    def __init__(self, rule: Acceptance) -> None:
        self._rule = rule

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        """Ask the rule as if the earlier champions had been discarded."""
        former = {each.number for each in population.champions[:-1]}
        trials = (replace(each, status=Status.DISCARD) if each.number in former else each for each in population.trials)
        return self._rule.step(trial, Population(tuple(trials)))

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        """Return what the rule says."""
        return self._rule.repeat(trial, population)


@dataclass
class Candidate:
    """One decided trial.

    Attributes:
        loss_bpb: By how much it is truly worse than the champion at its verdict.
        smaller: Whether it is smaller than that.
        crashed: Whether it failed.
        kept: Whether it became champion.
        tie: Whether that was a tie.
    """

    loss_bpb: float
    smaller: bool
    crashed: bool
    kept: bool
    tie: bool


@dataclass
class Found:
    """A finished search: its candidates, and true values of its champions in their order."""

    candidates: list[Candidate]
    truths: list[float]
    size: float
    trainings: int


def search(rule: Acceptance, simulation: Sized, trainings: int) -> Found:
    """Search until the trainings are used up."""
    population, found = Population(), Found([], [], 1.0, 0)
    for number in itertools.count():
        champion = population.champion.number if population.champion else 0
        if number:
            simulation.propose(champion)
        proposal = Proposal(parents=(champion,) if number else (), seed=number)
        population = population.with_trial(Trial(number=number, proposal=proposal, mutation=PROGRAM))
        population, verdict = settle(rule, simulation, population, trainings)
        if verdict is None:
            break
        if verdict.status in (Status.BASELINE, Status.KEEP):
            found.truths.append(simulation.truth[number])
        if number:
            found.candidates.append(
                Candidate(
                    simulation.truth[number] - simulation.truth[champion],
                    simulation.size[number] < simulation.size[champion],
                    simulation.crashes[number],
                    verdict.status is Status.KEEP,
                    verdict.status is Status.KEEP and verdict.tie,
                )
            )
        found.trainings = population.trainings
    best = population.champion
    assert best is not None
    found.size = simulation.size[best.number] / N_PARAMETERS
    return found


def summarize(found: Sequence[Found], limit_bpb: float) -> dict[str, float]:
    """Return the figures of one row."""
    progress = [1e3 * (BASELINE - each.truths[-1]) for each in found]
    sound = [one for each in found for one in each.candidates if not one.crashed]
    ties = [one for one in sound if one.tie]
    smaller = [one for one in sound if one.smaller]
    wrong = [one.kept for one in smaller if limit_bpb < one.loss_bpb <= 2 * limit_bpb]
    equal = [not one.kept for one in smaller if one.loss_bpb == 0]
    missed = [not one.kept for one in sound if one.loss_bpb < -limit_bpb]
    return {
        "progress": statistics.fmean(progress),
        "standard_error": statistics.stdev(progress) / len(progress) ** 0.5,
        "size": statistics.fmean(each.size for each in found),
        "ties": len(ties) / len(found),
        "false": _share([one.loss_bpb > limit_bpb for one in ties]),
        "wrong": _share(wrong),
        "equal": _share(equal),
        "missed": _share(missed),
        "runs": sum(each.trainings for each in found) / sum(len(each.candidates) for each in found),
    }


def _share(hits: Sequence[bool]) -> float:
    return 100 * sum(hits) / max(1, len(hits))


def make_rule(limit_bpb: float | None, seed: int, *, prefer: str | None = "smaller") -> Confirm:
    """Return `confirm_fixed` with a preference."""
    return Confirm(seed=seed, rotate=False, max_samples=2, prefer=prefer, prefer_bpb=limit_bpb)


def rates(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Simulate and print the first table."""
    print(
        f"{'sd':>4} {'x':>5} {'progress':>12} {'size':>5} {'ties':>5} {'false':>6} {'wrong':>6} {'equal':>6} ", end=""
    )
    print(f"{'missed':>7} {'runs':>5}")
    rows = []
    for sd, (prefer, limit) in itertools.product(SDS, ((None, None), *(("smaller", each) for each in LIMITS))):
        found = []
        for seed in range(options.searches):
            simulation = Sized(sd=sd, correlation=options.correlation, seed=seed)
            found.append(search(make_rule(limit, seed, prefer=prefer), simulation, options.trainings))
        row = summarize(found, limit or max(LEAST_LIMIT_BPB, sd))
        rows.append({"sd": sd, "prefer": prefer, "prefer_bpb": limit, **row})
        x = "-" if prefer is None else "null" if limit is None else f"{1e3 * limit:g}"
        shares = f"{row['false']:>6.0f} {row['wrong']:>6.0f} {row['equal']:>6.0f} {row['missed']:>7.0f}"
        print(
            f"{1e3 * sd:>4g} {x:>5} {row['progress']:>6.2f} ±{row['standard_error']:>4.2f} {row['size']:>5.2f} "
            f"{row['ties']:>5.1f} {shares} {row['runs']:>5.2f}",
            flush=True,
        )
    return rows


def drift(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Simulate and print the second table."""
    print(f"\n{'sd':>4} {'x':>5} {'against':<8} {'ties':>5} {'drift':>6} {'largest':>8}")
    rows = []
    for sd, against in itertools.product(SDS, ("best", "present", "none")):
        losses, ties = [], 0
        for seed in range(options.searches):
            worse = (DRIFT_LIMIT / 5, 2 * DRIFT_LIMIT)
            simulation = Sized(sd=sd, correlation=options.correlation, seed=seed, worse=worse)
            rule = make_rule(DRIFT_LIMIT, seed) if against != "none" else make_rule(None, seed, prefer=None)
            found = search(Present(rule) if against == "present" else rule, simulation, LONG)
            losses.append((found.truths[-1] - min(found.truths)) / DRIFT_LIMIT)
            ties += sum(each.tie for each in found.candidates)
        row: dict[str, Any] = {"sd": sd, "prefer_bpb": DRIFT_LIMIT, "against": against, "ties": ties / options.searches}
        row |= {"drift": statistics.fmean(losses), "largest": max(losses)}
        rows.append(row)
        print(
            f"{1e3 * sd:>4g} {1e3 * DRIFT_LIMIT:>5g} {against:<8} {row['ties']:>5.1f} {row['drift']:>6.2f} "
            f"{row['largest']:>8.2f}",
            flush=True,
        )
    return rows


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=120)
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--correlation", type=float, default=0.0)
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    settings = (
        f"{options.trainings} trainings per search, {options.searches} searches, correlation {options.correlation}, "
        f"crashes {CRASHES:.0%}"
    )
    print(f"{settings}; sd, x and progress in 1e-3 bpb; false, wrong, equal and missed in %")
    found = {"settings": settings, "rates": rates(options), "drift": drift(options)}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
