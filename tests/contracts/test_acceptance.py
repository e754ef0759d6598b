"""The contract of every acceptance rule in `conf/acceptance/*.yaml`, without and with a preference if it can have one.

The programs here have equal figures: then a preference changes nothing.
"""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from operators.population import Population
from operators.trial import SCORED, Proposal, Status
from search.acceptance import Acceptance, Measure, Verdict
from search.decisions import next_step
from target.evaluation import Evaluation, Outcome
from tests.search.builders import make_trial

FILES = sorted((Path(conf.__file__).parent / "acceptance").glob("*.yaml"))
PREFERRING = [(path, "simpler") for path in FILES if "prefer_bpb" in OmegaConf.load(path)]
RULES = [*((path, None) for path in FILES), *PREFERRING]
MOST_TRAININGS = 20  # of one trial before its verdict: a rule that asks for more never ends


def name_of(choice: tuple[Path, str | None]) -> str:
    path, prefer = choice
    return f"{path.stem}, {prefer}" if prefer else path.stem


@pytest.fixture(params=RULES, ids=name_of)
def rule(request: pytest.FixtureRequest) -> Acceptance:
    return make(request.param, seed=0)


def make(choice: tuple[Path, str | None], seed: int) -> Acceptance:
    path, prefer = choice
    config = OmegaConf.create({"acceptance": OmegaConf.load(path), "seed": seed})
    config.acceptance.prefer = prefer
    made: Acceptance = instantiate(config.acceptance)
    return made


def search(rule: Acceptance, truth: list[float | None], *, sd: float = 0.0, seed: int = 0) -> Population:
    """Give every trial its verdict, one at a time; trial n scores `truth[n]` and noise, or crashes."""
    rng = random.Random(seed)
    population = Population()
    for number, value in enumerate(truth):
        fresh = replace(make_trial(number, status=Status.PENDING), proposal=Proposal(parents=(), seed=0))
        population = population.with_trial(fresh)
        for _ in range(MOST_TRAININGS):
            step = next_step(population.trials[number], population, rule)
            if isinstance(step, Verdict):
                verdict = replace(population.trials[number], status=step.status, decided=number)
                population = population.with_trial(verdict)
                break
            population = measure(step, population, truth, rng, sd)
        assert population.trials[number].decided is not None, value
    return population


def measure(
    step: Measure, population: Population, truth: list[float | None], rng: random.Random, sd: float
) -> Population:
    assert step.trainings
    assert len(set(step.trainings)) == len(step.trainings)
    for number, seed in step.trainings:
        trial = population.trials[number]
        assert trial.measurement(seed) is None, "nothing is measured twice"
        value = truth[number]
        outcome = Outcome.CRASHED if value is None else Outcome.OK
        score = None if value is None else value + rng.gauss(0, sd)
        run = Evaluation(outcome=outcome, seed=seed, score=score)
        population = population.with_trial(replace(trial, evaluations=(*trial.evaluations, run)))
    return population


def test_the_seed_program_becomes_the_baseline(rule: Acceptance) -> None:
    assert search(rule, [2.0]).trials[0].status is Status.BASELINE


def test_without_noise_the_better_is_kept_and_nothing_else(rule: Acceptance) -> None:
    population = search(rule, [2.0, 2.1, 1.9, 2.0, 1.9, None, 1.8])

    assert [trial.status.value for trial in population.trials] == [
        "baseline",
        "discard",
        "keep",
        "discard",
        "discard",  # equal is no gain
        "crashed",
        "keep",
    ]


def test_a_seed_program_that_fails_once_is_measured_on_another_seed(rule: Acceptance) -> None:
    rng, population = random.Random(0), search(rule, [])
    population = population.with_trial(
        replace(make_trial(0, status=Status.PENDING), proposal=Proposal(parents=(), seed=0))
    )
    step = next_step(population.trials[0], population, rule)
    assert isinstance(step, Measure)
    population = measure(Measure(step.trainings[:1]), population, [None], rng, 0.0)
    for _ in range(MOST_TRAININGS):
        step = next_step(population.trials[0], population, rule)
        if isinstance(step, Verdict):
            break
        population = measure(step, population, [2.0], rng, 0.0)

    assert (step.status, len(population.trials[0].values)) == (
        Status.BASELINE,
        len(population.trials[0].evaluations) - 1,
    )


def test_a_crashed_seed_program_is_no_baseline(rule: Acceptance) -> None:
    assert search(rule, [None]).trials[0].status is Status.CRASHED


def test_scored_verdicts_have_scores_and_others_do_not(rule: Acceptance) -> None:
    for trial in search(rule, [2.0, None, 1.9, 2.1, None], sd=0.1).trials:
        assert (trial.status in SCORED) == bool(trial.values)


def test_a_verdict_depends_on_the_population_alone(rule: Acceptance) -> None:
    population = search(rule, [2.0, 1.9, 2.1], sd=0.01)
    before = copy.deepcopy(population)
    fresh = replace(make_trial(3, status=Status.PENDING))
    population = population.with_trial(fresh)

    assert rule.step(fresh, population) == copy.deepcopy(rule).step(fresh, population)
    assert Population(population.trials[:3]) == before


@pytest.mark.parametrize("choice", RULES, ids=name_of)
def test_training_seeds_are_the_searchs_own(choice: tuple[Path, str | None]) -> None:
    used = [
        {run.seed for trial in search(make(choice, seed), [2.0, 1.9, 1.8]).trials for run in trial.evaluations}
        for seed in (0, 0, 7)
    ]

    assert used[0] == used[1]
    assert used[0].isdisjoint(used[2])


def test_repeats_of_a_program_end(rule: Acceptance) -> None:
    truth = [2.0, 1.999, 2.001]
    population = search(rule, truth, sd=0.01)
    for number in range(len(truth)):
        for _ in range(MOST_TRAININGS):
            again = rule.repeat(population.trials[number], population)
            if again is None:
                break
            assert {which for which, _ in again.trainings} == {number}
            population = measure(again, population, list(truth), random.Random(1), 0.01)
        assert rule.repeat(population.trials[number], population) is None
