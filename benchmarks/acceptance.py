"""Compares acceptance rules: true progress, false keeps, and how far the champion's score can be trusted.

    python benchmarks/acceptance.py [--trainings 120] [--searches 100] [--correlation 0] [--inheritance 0] [--json FILE]
    python benchmarks/acceptance.py --null [--noise normal] [--trainings 120] [--searches 100] [--correlation 0]

It simulates greedy searches. Each proposal is a child of the champion with a random true effect (log-uniform; most make
it worse, 7 % crash), and a training adds noise. The real rules of `conf/acceptance` decide what is trained again and
what is kept. In each search, all rules get the same number of trainings, and the same training gets the same noise.

    progress   true gain of the last champion over the baseline, with the standard error of this mean
    false      keeps that are truly no better than the champion they replaced, per 100 keeps
    missed     better candidates that were discarded, per 100 better candidates
    reported   gain that the search reports minus the true gain: its optimism
    posterior  the same for the posterior means

All but false and missed are in 1e-3 bpb, means over the searches; positive progress is a lower val_bpb.

`--correlation` is the share of the noise variance that a training seed contributes to all programs alike: about .9 for
edits that do not change shapes, 0 for structural edits. `--inheritance` is the correlation between the rest of a
child's noise and that of its parent on the same seed: about 1 means that a lineage can adapt to seeds that never
change. This benchmark justifies the choice among the rules; docs/noise.md has its output.

With `--null` every child is exactly as good as its parent and nothing crashes, so all that is found is noise:

    kept       candidates that were kept, per 100
    searches   searches that end with another champion than the baseline, in %
    reported   gain that these searches report, in sd of a training: median and 95th percentile
    posterior  the same for the posterior means

`--noise heavy` draws from Student's t distribution with 3 degrees of freedom, `uneven` gives each program an sd of its
own (log-normal, with 0.7); both have the sd of the normal noise on average over programs and trainings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Acceptance, Measure, Verdict
from search.decisions import next_step
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.words import user_path

RULES = ("naive", "confirm", "confirm3", "confirm_fixed")
SDS = (0.0005, 0.001, 0.002)
CRASHES = 0.07
BASELINE = 1.0
PROGRAM = Mutation(program=Program("A = 1\n"), operator="simulated", description="")


@dataclass(frozen=True)
class Regime:
    """A stage of a search.

    Attributes:
        improves: Share of proposals that are truly better than their parent.
        gains: Smallest and largest true gain in bpb; log-uniform between them.
        losses: The same for the losses of the others.
        crashes: Share of proposals that crash.
    """

    improves: float
    gains: tuple[float, float]
    losses: tuple[float, float]
    crashes: float = CRASHES


REGIMES = {
    "early": Regime(0.15, (1e-4, 5e-3), (2e-4, 2e-2)),
    "late": Regime(0.06, (1e-4, 5e-3), (2e-4, 2e-2)),
}
NULL = Regime(0.0, (0.0, 0.0), (0.0, 0.0), crashes=0.0)
UNEVEN = 0.7  # sd of the logarithm of a program's sd


class Simulation:
    """True values and trainings of one search."""

    def __init__(
        self, regime: Regime, *, sd: float, correlation: float, inheritance: float, seed: int, noise: str = "normal"
    ) -> None:
        self._regime, self._sd, self._seed, self._noise = regime, sd, seed, noise
        self._correlation, self._inheritance = correlation, inheritance
        self._luck: dict[tuple[int, int], float] = {}
        self._parents: list[int | None] = [None]
        self.truth = [BASELINE]
        self.crashes = [False]

    def propose(self, parent: int) -> None:
        """Draw a child of a program."""
        rng = random.Random(f"{self._seed} proposal {len(self.truth)}")
        better = rng.random() < self._regime.improves
        low, high = self._regime.gains if better else self._regime.losses
        effect = math.exp(rng.uniform(math.log(low), math.log(high))) if low else 0.0
        self._parents.append(parent)
        self.truth.append(self.truth[parent] + (-effect if better else effect))
        self.crashes.append(rng.random() < self._regime.crashes)

    def train(self, number: int, seed: int) -> Evaluation:
        """Return one training."""
        if self.crashes[number]:
            return Evaluation(outcome=Outcome.CRASHED, seed=seed)
        shared = random.Random(f"{self._seed} seed {seed}").gauss(0, 1)
        noise = self._correlation**0.5 * shared + (1 - self._correlation) ** 0.5 * self._own_luck(number, seed)
        return Evaluation(outcome=Outcome.OK, seed=seed, score=self.truth[number] + self._sd * noise)

    def _own_luck(self, number: int, seed: int) -> float:
        """Return the effect of a seed on this program alone: a standard normal, autoregressive along the lineage."""
        if (number, seed) not in self._luck:
            luck = self._drawn(number, random.Random(f"{self._seed} program {number} seed {seed}"))
            parent = self._parents[number]
            if self._inheritance and parent is not None:
                inherited = self._inheritance * self._own_luck(parent, seed)
                luck = inherited + (1 - self._inheritance**2) ** 0.5 * luck
            self._luck[number, seed] = luck
        return self._luck[number, seed]

    def _drawn(self, number: int, rng: random.Random) -> float:
        """Return the noise of a training of a program, with mean 0 and variance 1 on average."""
        luck = rng.gauss(0, 1)
        if self._noise == "heavy":
            return luck / rng.gammavariate(1.5, 2) ** 0.5  # t has the variance 3
        if self._noise == "uneven":
            own = random.Random(f"{self._seed} noise {number}").gauss(0, UNEVEN)
            return luck * math.exp(own - UNEVEN**2)
        return luck

    def is_better(self, number: int, parent: int) -> bool:
        """Return whether a program trains and is truly better than its parent."""
        return not self.crashes[number] and self.truth[number] < self.truth[parent]


def search(rule: Acceptance, simulation: Simulation, trainings: int) -> dict[str, float]:
    """Search until the trainings are used up, and return the result."""
    population = Population()
    counts = dict.fromkeys(("candidates", "keeps", "false", "better", "missed"), 0)
    for number in itertools.count():
        parent = population.champion.number if population.champion else 0
        if number:
            simulation.propose(parent)
        proposal = Proposal(parents=(parent,) if number else (), seed=number)
        population = population.with_trial(Trial(number=number, proposal=proposal, mutation=PROGRAM))
        population, verdict = settle(rule, simulation, population, trainings)
        if verdict is None:
            break
        kept, better = verdict.status is Status.KEEP, number > 0 and simulation.is_better(number, parent)
        counts["candidates"] += number > 0
        counts["keeps"] += kept
        counts["false"] += kept and not better
        counts["better"] += better
        counts["missed"] += better and not kept
    best = population.champion
    assert best is not None
    progress = BASELINE - simulation.truth[best.number]
    means = {number: mean for number, (mean, _) in population.posterior.items()}
    return {
        **counts,
        "progress": progress,
        "reported": population.scores[0] - population.scores[best.number] - progress,
        "posterior": means[0] - means[best.number] - progress,
    }


def settle(
    rule: Acceptance, simulation: Simulation, population: Population, trainings: int
) -> tuple[Population, Verdict | None]:
    """Run the trainings that the rule asks for until it decides the last trial; None if too few are left."""
    number = len(population.trials) - 1
    while isinstance(step := next_step(population.trials[number], population, rule), Measure):
        for which, seed in step.trainings:
            if population.trainings >= trainings:
                return population, None
            trial = population.trials[which]
            evaluations = (*trial.evaluations, simulation.train(which, seed))
            population = population.with_trial(replace(trial, evaluations=evaluations))
    trial = replace(population.trials[number], status=step.status, decided=number)
    return population.with_trial(trial), step


def make_rule(name: str, seed: int) -> Acceptance:
    """Build a rule as a search does."""
    group = OmegaConf.load(Path(conf.__file__).parent / "acceptance" / f"{name}.yaml")
    rule: Acceptance = instantiate(OmegaConf.create({"acceptance": group, "seed": seed}).acceptance)
    return rule


def summarize(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the figures of one row."""
    progress = [1e3 * each["progress"] for each in found]
    total = {key: sum(each[key] for each in found) for key in ("keeps", "false", "better", "missed")}
    return {
        "progress": statistics.fmean(progress),
        "standard_error": statistics.stdev(progress) / len(progress) ** 0.5,
        "keeps": total["keeps"] / len(found),
        "false": 100 * total["false"] / max(1, total["keeps"]),
        "missed": 100 * total["missed"] / max(1, total["better"]),
        "reported": 1e3 * statistics.fmean(each["reported"] for each in found),
        "posterior": 1e3 * statistics.fmean(each["posterior"] for each in found),
    }


def print_null(rules: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Simulate searches in which there is nothing to find, print a row for each rule, and return the rows."""
    sd, rows = 0.001, []
    print(f"{'rule':<13} {'kept':>6} {'searches':>9} {'reported':>15} {'posterior':>15}")
    for rule in rules:
        found = []
        for seed in range(options.searches):
            lucks = {"correlation": options.correlation, "inheritance": options.inheritance, "noise": options.noise}
            found.append(search(make_rule(rule, seed), Simulation(NULL, sd=sd, seed=seed, **lucks), options.trainings))
        won = [each for each in found if each["keeps"]]
        row: dict[str, Any] = {
            "rule": rule,
            "kept": 100 * sum(each["keeps"] for each in found) / sum(each["candidates"] for each in found),
            "searches": 100 * len(won) / len(found),
        }
        for name in ("reported", "posterior"):
            gains = sorted(each[name] / sd for each in won)
            row |= {f"{name}_median": statistics.median(gains), f"{name}_95": gains[int(0.95 * len(gains))]}
        rows.append(row)
        gained = (f"{row[f'{name}_median']:+.2f} to {row[f'{name}_95']:+.2f}" for name in ("reported", "posterior"))
        print(f"{rule:<13} {row['kept']:>6.1f} {row['searches']:>9.0f}" + "".join(f" {each:>15}" for each in gained))
    return rows


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=120)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--correlation", type=float, default=0.0)
    parser.add_argument("--inheritance", type=float, default=0.0)
    parser.add_argument("--null", action="store_true", help="no child is better or worse than its parent")
    parser.add_argument(
        "--noise", choices=("normal", "heavy", "uneven"), default="normal", help="its form (default: %(default)s)"
    )
    parser.add_argument("--rules", default=",".join(RULES), help="rules to compare (default: %(default)s)")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()

    settings = (
        f"{options.trainings} trainings per search, {options.searches} searches, correlation {options.correlation}, "
        f"inheritance {options.inheritance}"
    )
    rules = options.rules.split(",")
    if options.null:
        print(f"nothing to find, {options.noise} noise: {settings}")
        nulls = print_null(rules, options)
        if options.json:
            options.json.write_text(json.dumps({"settings": settings, "rows": nulls}, indent=2) + "\n")
        return
    print(f"{settings}; 1e-3 bpb, false and missed in %")
    columns = f"{'progress':>14} {'keeps':>6} {'false':>6} {'missed':>7} {'reported':>9} {'posterior':>10}"
    print(f"{'regime':<7} {'sd':>6} {'rule':<13} {columns}")
    rows: list[dict[str, Any]] = []
    for (name, regime), sd, rule_name in itertools.product(REGIMES.items(), SDS, rules):
        found = []
        for seed in range(options.searches):
            lucks = {"correlation": options.correlation, "inheritance": options.inheritance, "noise": options.noise}
            simulation = Simulation(regime, sd=sd, seed=seed, **lucks)
            found.append(search(make_rule(rule_name, seed), simulation, options.trainings))
        row = summarize(found)
        rows.append({"regime": name, "sd": sd, "rule": rule_name, **row})
        progress = f"{row['progress']:>8.2f} ±{row['standard_error']:>4.2f}"
        shares = f"{row['keeps']:>6.1f} {row['false']:>6.0f} {row['missed']:>7.0f}"
        promises = f"{row['reported']:>+9.2f} {row['posterior']:>+10.2f}"
        print(f"{name:<7} {1e3 * sd:>6} {rule_name:<13} {progress} {shares} {promises}")
    if options.json:
        options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
