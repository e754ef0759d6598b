"""What `operator=sample` gains over the operator that makes its samples, at equal trainings and at equal dollars.

    python benchmarks/screening.py [--seeds 16] [--trainings 100] [--json FILE]
    python benchmarks/screening.py --data FILE.csv.gz [--seeds 16] [--trainings 100] [--json FILE]

Without data, the target is the landscape; with data, a model of recorded five-minute trainings. Searches are simulated,
greedy, with the default acceptance rule. `constants` changes constants, `switch` structure, `mixed` either; they stand
for a language model, so each of their answers has the price `--usd-per-answer`. A training costs its time at
`--usd-per-hour`. Pre-flight removes nothing here: its gain is not measured.

Columns are medians over the seeds with 95 % bootstrap intervals, of the noise-free score of the champion, as the
difference to the seed program in 1e-3 bpb (lower is better): after `--trainings` trainings; and when the money is spent
that the plain operator spends on so many trainings. `against plain` is the difference to the plain operator's median.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `benchmarks` is, also if it is not the current directory

from benchmarks.simulated import parse_simulated, simulated_options
from benchmarks.strategies import (
    configured,
    default_of,
    finite,
    interval,
    load_oracle,
    make_operator,
    resampled_medians,
)
from operators.base import Operator, Resources
from operators.sample import SampleOperator
from search.budget import Budget
from search.champions import reigns
from search.settings import Settings
from search.simulate import Simulation, simulate

OPERATORS: Final = ("constants", "switch", "mixed")
SAMPLES: Final = (1, 4, 16)  # of each proposal; 1 is the plain operator
SETTINGS: Final = {
    "prediction": 1.0,
    "novelty": 0.1,
    "memory": 120,
    "critique": 0,
}  # those of conf/operator/sample.yaml
_HOURS_PER_TRAINING: Final = 300 / 3600
_MARGIN: Final = 1.5  # failed trainings are shorter, so a search gets more of them


def main() -> None:
    """Run everything and print the table."""
    parser = simulated_options(__doc__)
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--usd-per-answer", type=float, default=0.01)
    parser.add_argument("--usd-per-hour", type=float, default=2.0)
    options = parse_simulated(parser)

    operators = OPERATORS if options.target == "landscape" else OPERATORS[:1]  # a record has one structure
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for operator in operators:
            plain: dict[str, Any] = {}
            for n in SAMPLES:
                found = pool.map(partial(run, options, operator, n), range(options.seeds))
                rows.append(row_of(f"sample {n} of {operator}" if n > 1 else operator, np.array(found), plain))
                plain = plain or rows[-1]
                print(f"{rows[-1]['name']} done", file=sys.stderr, flush=True)
                if options.json:
                    options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    trainings = f"{options.trainings} trainings, {options.usd_per_answer:g} USD per answer"
    print(f"{options.target}: {options.seeds} seeds, {trainings}")
    print_table(rows)


def run(options: argparse.Namespace, operator: str, n: int, seed: int) -> tuple[float, float]:
    """Run one search; returns the gain of its champion at equal trainings and at equal dollars, in 1e-3 bpb."""
    oracle, program = load_oracle(options.target, options.data, "gp")
    settings = Settings(
        name="benchmark",
        strategy_name="greedy",
        seed=seed,
        seed_program=program,
        strategy=configured("strategy", "greedy", seed),
        operator=sampled(operator, n),
        acceptance=configured("acceptance", default_of("acceptance"), seed),
        budget=Budget(trainings=options.trainings),
        propose_ahead=0,
        max_failures=50,
    )
    found = simulate(settings, oracle.evaluate, hours=_MARGIN * options.trainings * _HOURS_PER_TRAINING)
    usd = options.trainings * (options.usd_per_answer + options.usd_per_hour * _HOURS_PER_TRAINING)
    begin = oracle.truth(program)
    assert begin is not None

    def gain(number: int) -> float:
        best = found.population.trials[number].program
        value = oracle.truth(best) if best else None
        assert value is not None
        return 1e3 * (value - begin)

    by_trainings = champion_within(found, [0.0, 0.0, 1.0], options.trainings)
    by_usd = champion_within(found, [n * options.usd_per_answer, options.usd_per_hour, 0.0], usd)
    return gain(by_trainings), gain(by_usd)


def sampled(operator: str, n: int) -> Operator:
    """Return an operator, or the one that makes `n` samples by it."""
    plain = make_operator(operator)
    if n == 1:
        return plain
    resources = Resources(lend=lambda: None, direction=Path(), limits=())
    return SampleOperator(of=operator, n=n, operators={operator: plain}, resources=resources, **SETTINGS)  # type: ignore[arg-type]


def champion_within(found: Simulation, prices: list[float], limit: float) -> int:
    """Return the champion when a limit was reached, given the price of a proposal, an hour and a training."""
    champion = 0
    for reign in reigns(found.population):
        now = found.decided[reign.verdicts - 1]
        trainings = sum(hours <= now for hours, _ in found.finished)
        if float(np.dot(prices, [reign.champion.number, now, trainings])) > limit:
            break
        champion = reign.champion.number
    return champion


def row_of(name: str, gains: Any, plain: dict[str, Any]) -> dict[str, Any]:
    """Return a row: medians, their intervals, and the differences to the plain operator's medians."""
    row: dict[str, Any] = {"name": name}
    for label, values in zip(("at_equal_trainings", "at_equal_usd"), gains.T, strict=True):
        row[label] = finite(np.median(values))
        row[f"{label}_interval"] = interval(resampled_medians(list(values)))
        row[f"{label}_against_plain"] = row[label] - plain[label] if plain else None
    return row


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows."""
    titles = ("at equal trainings", "against plain", "at equal dollars", "against plain")
    print(f"{'operator':26}" + "".join(f"{title:>{width}}" for title, width in zip(titles, (28, 15) * 2, strict=True)))
    for row in rows:
        line = f"{row['name']:26}"
        for label in ("at_equal_trainings", "at_equal_usd"):
            low, high = row[f"{label}_interval"]
            against = row[f"{label}_against_plain"]
            line += f"{f'{row[label]:.2f} [{low:.2f}, {high:.2f}]':>28}"
            line += " " * 15 if against is None else f"{against:>+15.2f}"
        print(line)


if __name__ == "__main__":
    main()
