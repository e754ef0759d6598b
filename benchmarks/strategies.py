"""Which strategy finds the most per hour of training, in a simulation in which an hour takes a second.

    python benchmarks/strategies.py --data FILE.csv.gz [--seeds 16] [--hours 24] [--model gp] [--json FILE]
    python benchmarks/strategies.py --target landscape [--seeds 16] [--hours 24] [--json FILE]

Every strategy in conf/strategy runs on a model of recorded five-minute trainings, with the settings of its YAML file,
the default acceptance rule (or `--acceptance`) and no language model. A training costs the time that it took in the
record. For comparison, Optuna's samplers run with their defaults over the ranges of the record; in the rows with
`_from_seed` they begin at the seed program, as our strategies do. `--target landscape` combines strategies with
operators, including one that changes structure.

Other strategies take the operator `tune`, which `hybrid` has, with `--rows greedy/tune`; these rows are not among those
that run by default.

At any time, the program that would be the result then is rated by its noise-free value: for our strategies the
confirmed champion, for Optuna the trial with the best score. An hour is null in the JSON and `-` in the table if the
median over the seeds never reached the level. Intervals are 95 % bootstrap intervals of the median.

A second table compares `hybrid` with each row: its hours divided by theirs, and its best minus theirs in 1e-3 bpb
(negative: ahead), again of medians and with bootstrap intervals. A search that never reached a level counts as if it
reached it at the end, so a row's ratio is too high rather than too low. There is no ratio if `hybrid` itself did not
reach the level.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one search per process

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf

from operators.base import Operator
from search.budget import Budget
from search.champions import reigns
from search.settings import Settings
from search.simulate import simulate
from target.errors import TargetError
from target.program import Program
from target.program.constants import parse_constants
from target.program.space import Axis, axes_of
from target.simulated.landscape import Landscape
from target.simulated.surrogate_target import load_surrogate
from target.simulated.target import Oracle
from target.words import user_path

CONF: Final = Path(__file__).parents[1] / "conf"
STRATEGIES: Final = sorted(path.stem for path in (CONF / "strategy").glob("*.yaml"))
RULES: Final = sorted(path.stem for path in (CONF / "acceptance").glob("*.yaml"))
FROM_SEED: Final = "_from_seed"
SAMPLERS: Final = (
    *("optuna_random", "optuna_tpe", "optuna_cmaes"),
    *(f"optuna_tpe{FROM_SEED}", f"optuna_cmaes{FROM_SEED}"),  # they are told the seed program, as our strategies are
)
STRUCTURE: Final = ("constants", "switch", "mixed")
TUNED: Final = tuple(f"{each}/tune" for each in STRATEGIES if each != "hybrid")  # with hybrid's model of the constants
LEVELS: Final = (0.985, 0.981)
MARKS: Final = (6.0, 12.0, 24.0)
REFERENCE: Final = "hybrid"

Trace = list[tuple[float, float]]
"""(hours, noise-free value) of the program that would be the result, at each change."""

Measured = dict[str, list[float]]
"""The values of a column, one per seed."""


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=user_path, help="recorded trainings (surrogate)")
    parser.add_argument("--target", choices=("surrogate", "landscape"), default="surrogate")
    parser.add_argument("--model", choices=("blend", "gp", "forest"), default="gp", help="surrogate's family")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--hours", type=float, default=24.0, help="simulated training time of a search")
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument(
        "--acceptance", choices=RULES, default=default_of("acceptance"), help="rule (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="searches side by side")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    if options.target == "surrogate" and options.data is None:
        parser.error("--data FILE is required for the surrogate")

    known = (
        [*STRATEGIES, *SAMPLERS]
        if options.target == "surrogate"
        else [f"{strategy}/{operator}" for strategy in STRATEGIES for operator in STRUCTURE]
    )
    names = options.rows or known
    rows_known = [*known, *TUNED]
    if unknown := sorted(set(names) - set(rows_known)):
        rows_text = ", ".join(rows_known)
        parser.error(f"no such row: {', '.join(unknown)}; the rows of --target {options.target} are {rows_text}")

    began = time.monotonic()
    try:
        load_oracle(options.target, options.data, options.model)  # fitted once, before the processes fork
    except TargetError as error:
        parser.error(str(error))
    jobs = [
        (options.target, options.data, options.model, name, options.acceptance, seed, options.hours)
        for name in names
        for seed in range(options.seeds)
    ]
    levels = LEVELS if options.target == "surrogate" else landscape_levels()
    reference = REFERENCE if options.target == "surrogate" else f"{REFERENCE}/mixed"
    measured: dict[str, Measured] = {}
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        results = pool.imap(run, jobs, chunksize=1)
        for name in names:
            runs = [next(results) for _ in range(options.seeds)]
            measured[name] = measure(runs, options.hours, levels)
            rows.append(summarise(name, runs, measured[name]))
            print(f"{name} done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if options.json:  # keeps the finished rows if the rest fails
                contrasts = contrast(reference, measured, options.hours)
                found = {"rows": rows, "reference": reference, "contrasts": contrasts}
                options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    source = f"{options.data.name}, model {options.model}" if options.data else "landscape"
    source += f", {options.acceptance}"
    print(f"{source}: {options.seeds} seeds, {options.hours:g} h of training each; {time.monotonic() - began:.0f} s")
    print_table("", rows)
    if contrasts := contrast(reference, measured, options.hours):
        print()
        print_table(f"{reference} against", contrasts)


@functools.cache
def load_oracle(target: str, trials: Path | None, model: Any) -> tuple[Oracle, Program]:
    """Return the oracle that gives scores, and the program that a search begins with."""
    if target == "landscape":
        landscape = Landscape(seed=0)
        return landscape, landscape.seed_program()
    assert trials is not None
    return load_surrogate(trials, model)


def landscape_levels() -> tuple[float, float]:
    """Return two levels on the landscape: 40 % and 70 % of the way from the seed program to the best known one."""
    oracle, program = load_oracle("landscape", None, None)
    begin, end = oracle.truth(program), oracle.optimum  # type: ignore[attr-defined]
    assert begin is not None
    return (round(begin - 0.4 * (begin - end), 4), round(begin - 0.7 * (begin - end), 4))


def run(job: tuple[str, Path | None, str, str, str, int, float]) -> dict[str, Any]:
    """Run one search; returns its trace and how many of its programs failed."""
    target, trials, model, name, acceptance, seed, hours = job
    oracle, program = load_oracle(target, trials, model)
    if name in SAMPLERS:
        return run_sampler(name, oracle, program, seed, hours)
    strategy, _, operator = name.partition("/")
    return run_strategy(strategy, operator or "constants", acceptance, oracle, program, seed, hours)


def run_strategy(
    strategy: str, operator: str, acceptance: str, oracle: Oracle, program: Program, seed: int, hours: float
) -> dict[str, Any]:
    """Run one of our strategies, with the operators and the acceptance rule that a search would have."""
    settings = Settings(
        name="benchmark",
        strategy_name=strategy,
        seed=seed,
        seed_program=program,
        strategy=configured("strategy", strategy, seed),
        operator=make_operator(operator),
        extra_operators={"tune": configured("operator", "tune", seed)},
        acceptance=configured("acceptance", acceptance, seed),
        budget=Budget(hours=hours),
        propose_ahead=0,
        max_failures=50,
    )
    found = simulate(settings, oracle.evaluate, hours=hours)
    trained = [trial for trial in found.population.trials if trial.evaluations]
    return {
        "trace": [
            (found.decided[reign.verdicts - 1], truth_of(oracle, reign.champion)) for reign in reigns(found.population)
        ],
        "failure_rate": sum(not trial.values for trial in trained) / len(trained),
        "trainings": found.population.trainings,
    }


def make_operator(name: str) -> Operator:
    """Return an operator by the name of its YAML file, or the mixture that simulates a language model's edits."""
    if name == "mixed":
        return Mixed(configured("operator", "constants", 0), configured("operator", "switch", 0))
    made: Operator = configured("operator", name, 0)
    return made


class Mixed:
    """Changes constants or structure with equal probability: an operator that does not know which is better."""

    name = "mixed"

    def __init__(self, *operators: Operator) -> None:
        self._operators = operators

    def mutate(self, proposal: Any, population: Any) -> Any:
        """Return a mutation by one of the operators."""
        return self._operators[proposal.seed % len(self._operators)].mutate(proposal, population)


def configured(group: str, name: str, seed: int) -> Any:
    """Build the object that a YAML file of a group describes."""
    return instantiate(OmegaConf.create({"it": OmegaConf.load(CONF / group / f"{name}.yaml"), "seed": seed}).it)


def default_of(group: str) -> str:
    """Return the default choice of a group."""
    choices = (each for each in OmegaConf.load(CONF / "config.yaml").defaults if OmegaConf.is_dict(each))
    return str(next(each[group] for each in choices if group in each))


def truth_of(oracle: Oracle, trial: Any) -> float:
    """Return the noise-free value of a scored trial."""
    value = oracle.truth(trial.program)
    assert value is not None
    return value


def run_sampler(name: str, oracle: Oracle, program: Program, seed: int, hours: float) -> dict[str, Any]:
    """Run one of Optuna's samplers with its default settings; failures are reported to it.

    By default it begins anywhere in the ranges. With `_from_seed` its first trial is the seed program, and CMA-ES also
    has its mean there: what our strategies know.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes = axes_of(parse_constants(program.source))
    start = {axis.name: asked_for(axis, program.constants[axis.name]) for axis in axes}
    kind = name.removesuffix(FROM_SEED)
    numbers = {key: value for key, value in start.items() if not isinstance(value, str)}
    samplers: dict[str, Callable[[], Any]] = {
        "optuna_random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "optuna_tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "optuna_cmaes": lambda: optuna.samplers.CmaEsSampler(
            x0=numbers if name != kind else None, seed=seed, warn_independent_sampling=False
        ),
    }
    study = optuna.create_study(sampler=samplers[kind]())
    if name != kind:
        study.enqueue_trial(start)
    clock, best, failed, trace = 0.0, float("inf"), 0, Trace()
    count = 0
    while clock < hours:
        trial = study.ask()
        candidate = program.with_constants({axis.name: suggest(trial, axis) for axis in axes})
        found = oracle.evaluate(candidate, seed)
        clock += found.train_seconds / 3600
        count += 1
        if found.score is None:
            failed += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, found.score)
        if found.score < best:
            best = found.score
            trace.append((clock, oracle.truth(candidate) or best))
    return {"trace": trace, "failure_rate": failed / count, "trainings": count}


def asked_for(axis: Axis, value: Any) -> Any:
    """Return the value of a constant as `suggest` asks for it."""
    return round(np.log2(value)) if axis.kind == "pow2" and not axis.choices else value


def suggest(trial: Any, axis: Axis) -> Any:
    """Ask Optuna for a value: real numbers and integers over their range, powers of two by their exponent."""
    if axis.choices:
        return trial.suggest_categorical(axis.name, axis.choices)
    if axis.kind == "pow2":
        return 2 ** trial.suggest_int(axis.name, round(np.log2(axis.low)), round(np.log2(axis.high)))
    if axis.integer:
        return trial.suggest_int(axis.name, round(axis.low), round(axis.high))
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.kind == "log")


def measure(runs: list[dict[str, Any]], hours: float, levels: tuple[float, float]) -> Measured:
    """Return the columns: hours to the levels and best values at the marks; infinite if there is none."""
    columns = {
        f"hours_to_{level:g}": [next((at for at, value in each["trace"] if value <= level), np.inf) for each in runs]
        for level in levels
    }
    for mark in MARKS:
        columns[f"best_{mark:g}h"] = [best_at(each["trace"], mark) if mark <= hours else np.inf for each in runs]
    return columns


def summarise(name: str, runs: list[dict[str, Any]], measured: Measured) -> dict[str, Any]:
    """Return a row: medians over the seeds, and their intervals."""
    row: dict[str, Any] = {"name": name}
    for column, values in measured.items():
        row[column], row[f"{column}_interval"] = finite(np.median(values)), interval(resampled_medians(values))
    row["failure_rate"] = float(np.mean([each["failure_rate"] for each in runs]))
    row["trainings"] = float(np.median([each["trainings"] for each in runs]))
    return row


def contrast(reference: str, measured: dict[str, Measured], hours: float) -> list[dict[str, Any]]:
    """Compare the reference's medians with those of each other row: ratios of hours, differences of scores."""
    if reference not in measured:
        return []
    rows = []
    for seed, name in enumerate((each for each in measured if each != reference), start=1):
        row: dict[str, Any] = {"name": name}
        for column, values in measured[name].items():
            own, other = measured[reference][column], values
            is_time = column.startswith("hours")
            if is_time:
                other = [min(value, hours) for value in values]
            label = f"{column}_ratio" if is_time else f"{column}_difference"
            compare = ratio if is_time else difference
            row[label], row[f"{label}_interval"] = None, [None, None]
            if np.isfinite(np.median(own)):
                row[label] = float(compare(np.median(own), np.median(other)))
                row[f"{label}_interval"] = interval(compare(resampled_medians(own), resampled_medians(other, seed)))
        rows.append(row)
    return rows


def ratio(own: Any, other: Any) -> Any:
    """Return the ratio of two medians of hours."""
    return own / other


def difference(own: Any, other: Any) -> Any:
    """Return the difference of two median scores in 1e-3 bpb."""
    return 1e3 * (own - other)


def best_at(trace: Iterable[tuple[float, float]], mark: float) -> float:
    """Return the value of the program that would be the result after some hours."""
    return next((value for at, value in reversed(list(trace)) if at <= mark), np.inf)


def resampled_medians(values: list[float], seed: int = 0) -> Any:
    """Return bootstrap medians, (2000,)."""
    drawn = np.random.default_rng(seed).choice(values, (2000, len(values)))
    return np.median(drawn, axis=1)


def interval(resampled: Any) -> list[float | None]:
    """Return the 95 % percentile interval of bootstrap values."""
    ordered = np.sort(resampled)
    return [finite(ordered[int(share * len(ordered))]) for share in (0.025, 0.975)]


def finite(value: float) -> float | None:
    """Return a number, or None for infinity, which JSON does not have."""
    return None if np.isinf(value) else float(value)


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows: a median and its interval in each column, and how many failed if that is known."""
    columns = [key.removesuffix("_interval") for key in rows[0] if key.endswith("_interval")]
    names = (each.replace("hours_to_", "h to ").replace("_difference", ", 1e-3").replace("_", " ") for each in columns)
    end = "  failed  runs" if "trainings" in rows[0] else ""
    print(f"{title:22}" + "".join(f"{name:>24}" for name in names) + end)
    for row in rows:
        line = f"{row['name']:22}"
        for column in columns:
            digits = 4 if column.endswith("h") else 2
            shown = [
                "-" if value is None else f"{value:.{digits}f}" for value in (row[column], *row[f"{column}_interval"])
            ]
            line += f"{f'{shown[0]} [{shown[1]}, {shown[2]}]':>24}"
        if "trainings" in row:
            line += f"  {row['failure_rate']:5.0%} {row['trainings']:5.0f}"
        print(line)


if __name__ == "__main__":
    main()
