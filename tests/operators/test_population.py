from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from operators.population import Population
from operators.trial import Original, Status, Trial
from tests.search.builders import MIXED, make_evaluation, make_population, make_trial


def test_the_champion_is_the_trial_kept_last_not_the_one_numbered_last() -> None:
    population = make_population(2.0, 1.9, 1.8)
    early = replace(population.trials[2], decided=1)
    late = replace(population.trials[1], decided=2)

    assert Population((population.trials[0], late, early)).champion == late


def test_an_empty_population_has_no_champion() -> None:
    assert Population().champion is None
    assert Population((make_trial(0, status=Status.PENDING),)).champion is None


def test_a_trial_with_several_trainings_scores_their_mean() -> None:
    trial = make_trial(1, 1.5, status=Status.KEEP, seeds=(1, 2))
    second = replace(trial.evaluations[1], score=1.7)

    assert replace(trial, evaluations=(trial.evaluations[0], second)).score == pytest.approx(1.6)


def test_a_program_is_found_however_it_is_written() -> None:
    population = make_population(2.0, 1.9)
    program = population.trials[1].program
    assert program is not None
    twin = type(program)("# a comment\n" + program.source.replace(" = ", "  =  "))

    assert population.find(twin.id) is population.trials[1]
    assert population.find("unknown") is None


def test_a_gap_in_the_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        Population((make_trial(1, 2.0, status=Status.BASELINE),))


def test_a_verdict_and_its_rank_come_together() -> None:
    with pytest.raises(ValueError, match="decided must be None exactly while pending"):
        replace(make_trial(1, 2.0, status=Status.KEEP), decided=None)


def test_a_pending_trial_is_compared_by_what_has_been_measured_but_not_ranked() -> None:
    population = make_population(2.0, Status.PENDING)
    measured = replace(population.trials[1], evaluations=(make_evaluation(1.9),))
    population = population.with_trial(measured)

    assert population.scores == pytest.approx({0: 2.0, 1: 1.9})
    assert population.ranked() == [population.trials[0]]


def test_equal_scores_are_ranked_by_number() -> None:
    assert [trial.number for trial in make_population(2.0, 1.9, 1.9, 1.9).ranked()] == [1, 2, 3, 0]


def test_a_child_of_two_is_a_child_of_each() -> None:
    population = make_population(2.0, 1.9, Status.PENDING)
    child = replace(population.trials[2], proposal=replace(population.trials[2].proposal, parents=(0, 1)))
    population = population.with_trial(child)

    assert population.children(1) == (child,)
    assert population.children(0) == (population.trials[1], child)


def steps_of(population: Population, order: random.Random) -> Iterator[Trial]:
    """Yield the states that trials go through: proposed, built, measured, decided, and some measured again later."""
    waiting: list[list[Trial]] = []
    ranks = itertools.count()
    for trial in population.trials:
        pending = replace(trial, status=Status.PENDING, decided=None, detail="")
        waiting.append([replace(pending, mutation=None, evaluations=()), replace(pending, evaluations=()), pending])
        yield waiting[-1].pop(0)
        while len(waiting) > order.randrange(4):
            chosen = order.choice(waiting)
            if chosen:
                yield chosen.pop(0)
                continue
            waiting.remove(chosen)
    for left in waiting:
        yield from left
    for trial in order.sample(population.trials, len(population.trials)):
        if trial.decided is not None:
            yield replace(trial, decided=next(ranks))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_handed_on_is_what_would_be_counted_anew(seed: int) -> None:
    order = random.Random(seed)
    population = Population()
    for trial in steps_of(MIXED, order):
        again = order.random() < 0.3 and trial.evaluations
        more = make_evaluation(1.0 + order.random(), seed=order.randrange(3)) if again else None
        changed = replace(trial, evaluations=(*trial.evaluations, more)) if more else trial
        if changed.evaluations and changed.number % 2:
            changed = replace(changed, known_verdicts=1, begun_verdicts=changed.number)
        if changed.program and changed.number % 3 == 1:
            changed = replace(changed, original=Original(parents=(0,), program=changed.program))
        population = population.with_trial(changed)
        counted = Population(population.trials)

        assert population.tally == counted.tally
        assert population.staleness == counted.staleness
        assert population.scores == counted.scores
        assert population.posterior == counted.posterior
        assert population.ranked() == counted.ranked()
        assert [population.find(each.program.id) for each in MIXED.trials if each.program] == [
            counted.find(each.program.id) for each in MIXED.trials if each.program
        ]
    assert population.staleness
    assert population.reapplied == 3


def test_a_verdict_that_is_not_the_latest_is_counted_too() -> None:
    population = make_population(2.0, Status.PENDING, 1.8)
    late = replace(make_trial(1, 1.9, status=Status.KEEP), decided=1)
    changed = population.with_trial(replace(population.trials[2], decided=2)).with_trial(late)

    assert changed.tally == Population(changed.trials).tally
    assert [trial.number for trial in changed.decided] == [0, 1, 2]
