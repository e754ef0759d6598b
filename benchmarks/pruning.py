"""What pruning saves and what it costs, on real trainings of varied programs.

    python benchmarks/pruning.py [--trainings 60] [--orders 10] [--search OUTPUTS/NAME] [--json FILE]

A search without pruning (`strategy=random`, so that no program depends on the order; large steps of constants, and
switches) trains every program to its end, and records its curve and score. Then each pruner is replayed on these same
trainings: it decides from the curves as they were, and what it stops costs only the time until then. Nothing is trained
twice, so the pruners are compared without noise. `--search` replays a recorded search instead.

The replay is simpler than a search: one training per program, and the champion is the best so far. It is repeated for
several orders of the programs. Each order ends when a budget of 60 % of the time of all trainings is used.

Columns: programs tried within the budget; how many more than without pruning; failed checks per 100 programs, audits
included; false: share of them that would have ended better than the champion of that time; saved: share of the time of
the programs tried; best: mean of the best score at the end of the budget.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search.construct import compose_config, instantiate
from search.pruning.plan import Pruning
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from target.evaluation import Evaluation, Outcome
from target.stopping import failed_check
from target.words import user_path

_BUDGET_FRACTION: Final = 0.6
_CURVE_SECONDS: Final = 10.0  # of target=tiny
_RECORD: Final = (
    "pruning=none",
    "strategy=random",
    "operator=mix",
    "operator.weights.constants=2",
    "operator.weights.switch=1",
    "operator.weights.tune=0",
    "operator.operators.constants.step=1.5",
    "tracker=none",
    "executor.workers=1",
)
_ARMS: Final = {
    "none": ("pruning=none",),
    "champion": ("pruning=champion",),
    "champion, 3 and 2 sd": ("pruning=champion", "pruning.pruner.checks=[[0.1,3],[0.3,2]]"),
    "median": ("pruning=median",),
    "hyperband": ("pruning=hyperband",),
    "wilcoxon": ("pruning=wilcoxon",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pruner; the means over the orders.

    Attributes:
        name: The pruner.
        programs: Programs tried within the budget.
        more_percent: How many more than without pruning.
        failed_percent: Programs that failed a check, audits included.
        false_prunes: Those that would have ended better than the champion, over all orders.
        false_percent: Their share of the failed checks.
        missed_percent: Their share of all programs that would have ended better.
        saved_percent: Share of the time of the programs tried.
        best_val_bpb: Mean of the best score at the end of the budget.
    """

    name: str
    programs: float
    more_percent: float
    failed_percent: float
    false_prunes: int
    false_percent: float
    missed_percent: float
    saved_percent: float
    best_val_bpb: float


@dataclass(slots=True, kw_only=True)
class _Counts:
    programs: int = 0
    failed: int = 0
    false: int = 0
    better: int = 0
    used_seconds: float = 0.0
    whole_seconds: float = 0.0
    best: float = 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=60, help="of the recording search")
    parser.add_argument("--orders", type=int, default=10, help="of the programs")
    parser.add_argument("--search", type=user_path, help="a recorded search of target=tiny with strategy=random")
    parser.add_argument("--json", type=user_path, help="write the rows to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        trials = _recorded(options.search or _record(Path(folder), options.trainings))
    print(f"{len(trials)} programs, {sum(map(_seconds, trials)):.0f} s of training and scoring")
    print(f"{'pruner':<24}programs   more  failed   false  missed   saved  best val_bpb")
    rows: list[Row] = []
    for name, overrides in _ARMS.items():
        counts = [_replay(_pruning(overrides), trials, order) for order in range(options.orders)]
        rows.append(_row(name, counts, rows[0] if rows else None))
        print(_text(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n", encoding="utf-8")


def _record(folder: Path, trainings: int) -> Path:
    """Train varied programs to their end, and return the folder of the search."""
    command = [sys.executable, "-m", "search", f"outputs={folder}", "name=recorded", f"budget.trainings={trainings}"]
    subprocess.run([*command, *_RECORD], check=True, stdout=sys.stderr)
    return folder / "recorded"


def _recorded(root: Path) -> list[Trial]:
    """Return the seed program and all candidates with a score on the first seed."""
    trials = read_population(RunDirectory(root)).trials
    seed = trials[0].evaluations[0].seed
    return [trial for trial in trials if trial.evaluations and seed in trial.values]


def _pruning(overrides: Sequence[str]) -> Pruning:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls one of its pruners experimental
        made: Pruning = instantiate(compose_config(["name=replay", *overrides]).pruning, "pruning")
    return made


def _replay(pruning: Pruning, trials: Sequence[Trial], order: int) -> _Counts:
    """Decide on the trials in one order, until the budget is used."""
    shuffled = [trials[0], *random.Random(order).sample(trials[1:], len(trials) - 1)]
    budget_seconds = _BUDGET_FRACTION * sum(map(_seconds, trials))
    population, counts = Population(), _Counts()
    for number, recorded in enumerate(shuffled):
        if counts.used_seconds >= budget_seconds:
            break
        proposal = Proposal(parents=(0,) if number else (), seed=number)
        asked = Trial(number=number, proposal=proposal, mutation=recorded.mutation)
        population = population.with_trial(asked)
        run, best = recorded.evaluations[0], population.champion
        better = best is None or _score(run) < _score(best.evaluations[0])
        rule = pruning.rule(asked, population, _CURVE_SECONDS)
        failed = failed_check(rule, run.curve, _CURVE_SECONDS) if rule else None
        stopped = failed is not None and rule is not None and not rule.audit
        counts.programs += 1
        counts.whole_seconds += _seconds(recorded)
        counts.better += better and number > 0
        counts.failed += failed is not None
        counts.false += failed is not None and better
        seconds = _seen_seconds(run, failed.fraction) if stopped and failed else _seconds(recorded)
        counts.used_seconds += seconds
        status = Status.DISCARD if number else Status.BASELINE
        if stopped:
            seen = tuple(point for point in run.curve if point[0] <= seconds)
            run, status = replace(run, outcome=Outcome.PRUNED, score=None, curve=seen), Status.PRUNED
        elif better and number:
            status = Status.KEEP
        population = population.with_trial(replace(asked, evaluations=(run,), status=status, decided=number))
    counts.best = min(_score(trial.evaluations[0]) for trial in population.scored)
    return counts


def _score(run: Evaluation) -> float:
    assert run.score is not None
    return run.score


def _seconds(trial: Trial) -> float:
    """Return the time of a trial's first training and its scoring."""
    return trial.evaluations[0].train_seconds + trial.evaluations[0].score_seconds


def _seen_seconds(run: Evaluation, fraction: float) -> float:
    """Return when a check is made: at the first point of the curve that is not before its time."""
    due = fraction * _CURVE_SECONDS
    return next((seconds for seconds, _ in run.curve if seconds >= due), due)


def _row(name: str, counts: Sequence[_Counts], control: Row | None) -> Row:
    programs = statistics.fmean(each.programs for each in counts)
    failed, false, better = (sum(getattr(each, part) for each in counts) for part in ("failed", "false", "better"))
    used, whole = (sum(getattr(each, part) for each in counts) for part in ("used_seconds", "whole_seconds"))
    return Row(
        name=name,
        programs=programs,
        more_percent=100 * (programs / control.programs - 1) if control else 0.0,
        failed_percent=100 * failed / sum(each.programs for each in counts),
        false_prunes=false,
        false_percent=100 * false / failed if failed else 0.0,
        missed_percent=100 * false / better if better else 0.0,
        saved_percent=100 * (1 - used / whole),
        best_val_bpb=statistics.fmean(each.best for each in counts),
    )


def _text(row: Row) -> str:
    percents = (row.more_percent, row.failed_percent, row.false_percent, row.missed_percent, row.saved_percent)
    figures = "".join(f"{each:6.1f}%{'':1}" for each in percents)
    return f"{row.name:<24}{row.programs:8.1f}{figures}{row.best_val_bpb:12.4f}"


if __name__ == "__main__":
    main()
