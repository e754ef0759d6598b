"""The checks of Optuna's pruners decide as the pruners do in a study that reports while it trains."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner

from operators.population import Population
from search.pruning.study import StudyPruner
from target.stopping import Curve, StopRule, failed_check, smoothed
from tests.search.builders import make_population

SECONDS = 100.0
STEPS = [10, 20, 30, 40, 50]


def curve(level: float) -> Curve:
    return tuple((float(t), 3 + level + 30 / (t + 10)) for t in range(1, 101))


def search(levels: list[float]) -> Population:
    people = make_population(*(2 + level for level in levels))
    for trial, level in zip(people.trials, levels, strict=True):
        runs = tuple(replace(run, curve=curve(level)) for run in trial.evaluations)
        people = people.with_trial(replace(trial, evaluations=runs))
    return people


def pruned_in_a_study(pruner: BasePruner, levels: list[float], level: float) -> bool:
    """Report the losses of trials one by one, as an objective does, and return whether the last one is pruned."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="graft", pruner=pruner)
    answers = []
    for each in [*levels, level]:
        trial, answers = study.ask(), []
        for step in STEPS:
            trial.report(smoothed(curve(each), step / 100 * SECONDS) or 0.0, step)
            answers.append(trial.should_prune())
        study.tell(trial, 2 + each)
    return any(answers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MedianPruner(n_startup_trials=5),
        lambda: HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3),
    ],
    ids=["median", "hyperband"],
)
def test_a_check_stops_what_the_pruner_prunes(make: Callable[[], BasePruner]) -> None:
    rng = random.Random(0)
    found = set()
    for trials in range(6, 18):
        levels = [rng.uniform(0, 1) for _ in range(trials)]
        rule = StopRule(checks=StudyPruner(pruner=make(), steps=STEPS).checks(search(levels), SECONDS))
        for level in (-0.5, 0.2, 0.5, 0.8, 1.5):
            stopped = failed_check(rule, curve(level), SECONDS) is not None
            assert stopped == pruned_in_a_study(make(), levels, level), (trials, level)
            found.add(stopped)
    assert found == {True, False}


def test_steps_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="percentages from 1 to 50"):
        StudyPruner(pruner=MedianPruner(), steps=[60])
