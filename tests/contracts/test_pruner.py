"""The contract of every pruner in `conf/pruning/*.yaml`; a new one is found by its YAML file."""

from __future__ import annotations

import json
import math
import random
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate

import conf
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.construct import compose_config
from search.pruning.plan import Pruning
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.stopping import LATEST_FRACTION, StopRule, failed_check

PRUNERS = sorted(path.stem for path in (Path(conf.__file__).parent / "pruning").glob("*.yaml"))
SECONDS = 100.0
SOURCE = "WIDTH = 0\nWARMUP_FRACTION = 0.1\n\n\ndef main():\n    return WIDTH\n"


def make(name: str, **changes: object) -> Pruning:
    overrides = [f"pruning={name}", "name=test", *(f"pruning.{key}={value}" for key, value in changes.items())]
    node = compose_config(overrides).pruning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls one of its pruners experimental
        made: Pruning = instantiate(node)
    return made


@pytest.fixture(params=PRUNERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def curve(level: float, *, seed: int = 0, upto: float = 1.0) -> tuple[tuple[float, float], ...]:
    """Return a falling curve, `level` nats above the best one, with the noise of single batches."""
    rng = random.Random(seed)
    return tuple((t, 3 + level + 30 / (t + 10) + rng.gauss(0, 0.02)) for t in range(1, round(upto * SECONDS)))


def candidate(number: int, source: str | None = None) -> Trial:
    program = Program(source or SOURCE.replace("0\n", f"{number}\n", 1))
    mutation = Mutation(program=program, operator="constants", description="wider")
    return Trial(number=number, proposal=Proposal(parents=(0,) if number else (), seed=number), mutation=mutation)


def run(level: float, seed: int, outcome: Outcome = Outcome.OK) -> Evaluation:
    upto = 0.31 if outcome is Outcome.PRUNED else 1.0
    score = 1 + level if outcome is Outcome.OK else None
    return Evaluation(outcome=outcome, seed=7, score=score, curve=curve(level, seed=seed, upto=upto))


def history(trials: int = 8) -> Population:
    """Return a search whose champion is the best of its trials; some of them crashed or were pruned."""
    population = Population().with_trial(
        replace(candidate(0), evaluations=(run(0.1, 0),), status=Status.BASELINE, decided=0)
    )
    for number in range(1, trials + 1):
        outcome = {3: Outcome.CRASHED, 5: Outcome.PRUNED}.get(number, Outcome.OK)
        level = 0.0 if number == 1 else 0.1 * number
        status = Status.KEEP if number == 1 else Status.DISCARD if outcome is Outcome.OK else Status(outcome.value)
        done = replace(candidate(number), evaluations=(run(level, number, outcome),), status=status, decided=number)
        population = population.with_trial(done)
    return population.with_trial(candidate(trials + 1))


def rule(pruning: Pruning, population: Population) -> StopRule | None:
    return pruning.rule(population.trials[-1], population, SECONDS)


def test_a_hopeless_training_is_stopped_and_the_champions_own_is_not(name: str) -> None:
    searches = [history(trials) for trials in range(8, 14)]  # hyperband spares a trial by its number
    found = [each for each in (rule(make(name), search) for search in searches) if each]

    assert bool(found) == (name != "none")
    for each in found:
        assert failed_check(each, curve(5.0), SECONDS)
        assert failed_check(each, searches[0].trials[1].evaluations[0].curve, SECONDS) is None


def test_no_training_is_stopped_in_the_second_half(name: str) -> None:
    found = rule(make(name), history())

    if found is not None:
        assert [each.fraction for each in found.checks] == sorted(each.fraction for each in found.checks)
        assert all(0 < each.fraction <= LATEST_FRACTION for each in found.checks)
        assert all(math.isfinite(each.limit_nats) for each in found.checks)
        late = tuple(point for point in curve(5.0) if point[0] > LATEST_FRACTION * SECONDS)
        assert failed_check(found, late, SECONDS) is None


def test_only_the_first_training_of_a_candidate_may_be_stopped(name: str) -> None:
    pruning, population = make(name), history()
    confirmed = replace(population.trials[-1], evaluations=(run(0.0, 1),))

    assert pruning.rule(population.trials[0], population, SECONDS) is None
    assert pruning.rule(replace(population.trials[0], evaluations=()), population, SECONDS) is None
    assert pruning.rule(confirmed, population, SECONDS) is None


def test_nothing_is_stopped_without_a_champion_or_without_a_curve(name: str) -> None:
    pruning, population = make(name), history()

    assert pruning.rule(population.trials[-1], Population((replace(candidate(0)),)), SECONDS) is None
    assert pruning.rule(population.trials[-1], population, None) is None
    silent = tuple(
        replace(trial, evaluations=tuple(replace(each, curve=()) for each in trial.evaluations))
        for trial in population.trials
    )
    assert rule(make(name), Population(silent)) is None


def test_a_candidate_with_another_schedule_runs_to_its_end(name: str) -> None:
    population = history()
    changed = candidate(len(population.trials) - 1, SOURCE.replace("FRACTION = 0.1", "FRACTION = 0.2"))

    assert make(name).rule(changed, population, SECONDS) is None


def test_decisions_are_pure(name: str) -> None:
    pruning, population = make(name), history()
    before = population.trials

    first = rule(pruning, population)
    rule(pruning, history(4))  # another search in between leaves no trace
    again = [rule(pruning, population), rule(make(name), population)]

    assert again == [first, first], "a search that is resumed decides as it would have"
    assert population.trials == before


def test_a_rule_survives_the_way_to_a_worker(name: str) -> None:
    found = rule(make(name), history())

    if found is not None:
        assert StopRule.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_audits_are_drawn_by_the_seed_and_the_number_of_the_trial() -> None:
    population, pruning = history(), make("champion")
    always, never = make("champion", audit_fraction=1), make("champion", audit_fraction=0)
    other_seed = make("champion", seed=1)

    rules = {number: pruning.rule(candidate(number), population, SECONDS) for number in range(9, 69)}

    audits = [number for number, each in rules.items() if each and each.audit]
    assert 1 <= len(audits) <= 15
    assert audits != [number for number in rules if _drawn(other_seed, number, population)]
    assert _drawn(always, 9, population)
    assert not _drawn(never, 9, population)


def _drawn(pruning: Pruning, number: int, population: Population) -> bool:
    found = pruning.rule(candidate(number), population, SECONDS)
    return found is not None and found.audit
