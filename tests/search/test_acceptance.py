from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest

from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search.acceptance import Acceptance, Confirm, Measure, Naive, Verdict, training_seed
from search.decisions import next_step
from target.evaluation import Evaluation, Outcome
from tests.search.builders import make_evaluation, make_trial

A0, B0, A1, B1 = (training_seed(0, index) for index in range(4))


def measured(
    number: int, values: dict[int, float | None], *, status: Status = Status.PENDING, decided: int | None = None
) -> Trial:
    trial = make_trial(number, status=Status.PENDING)
    runs = tuple(make_evaluation(value, seed=seed) for seed, value in values.items())
    return replace(trial, evaluations=runs, status=status, decided=decided)


def population(*trials: Trial) -> Population:
    return Population(trials)


BASELINE = measured(0, {A0: 2.0, B0: 2.25}, status=Status.BASELINE, decided=0)


def settle(rule: Acceptance, effects: list[float], noise: float, rng: random.Random) -> Population:
    """Run a search in which trial n has the true value `effects[n]`, one trial at a time, to the verdict on each."""
    people = Population()
    for number in range(len(effects)):
        people = people.with_trial(
            replace(make_trial(number, status=Status.PENDING), proposal=Proposal(parents=(), seed=0))
        )
        while people.trials[number].decided is None:
            step = next_step(people.trials[number], people, rule)
            if isinstance(step, Verdict):
                trial = replace(people.trials[number], status=step.status, decided=len(people.decided))
                people = people.with_trial(trial)
                continue
            for which, seed in step.trainings:
                trial = people.trials[which]
                assert trial.measurement(seed) is None, "nothing is measured twice"
                run = Evaluation(outcome=Outcome.OK, seed=seed, score=effects[which] + rng.gauss(0, noise))
                people = people.with_trial(replace(trial, evaluations=(*trial.evaluations, run)))
    return people


def test_the_baseline_is_measured_on_both_seeds_at_once() -> None:
    fresh = measured(0, {})

    assert Confirm(seed=0).step(fresh, population(fresh)) == Measure(((0, A0), (0, B0)))
    assert Naive(seed=0).step(fresh, population(fresh)) == Measure(((0, A0),))
    done = measured(0, {A0: 2.0, B0: 2.2})
    assert Confirm(seed=0).step(done, population(done)) == Verdict(Status.BASELINE)


@pytest.mark.parametrize("rule", [Confirm(seed=0), Naive(seed=0)])
def test_a_failed_training_ends_the_trial(rule: Acceptance) -> None:
    crashed = measured(1, {A0: None})

    assert next_step(crashed, population(BASELINE, crashed), rule) == Verdict(Status.CRASHED)


def test_a_failed_confirmation_ends_the_trial_and_is_told() -> None:
    crashed = measured(1, {A0: 1.75, B0: None})
    failure = replace(crashed.evaluations[1], detail="exit 1")
    crashed = replace(crashed, evaluations=(crashed.evaluations[0], failure))

    assert next_step(crashed, population(BASELINE, crashed), Confirm(seed=0)) == Verdict(Status.CRASHED, "exit 1")


def test_confirm_discards_after_one_seed_what_is_not_better_there() -> None:
    worse = measured(1, {A0: 2.0})

    assert Confirm(seed=0).step(worse, population(BASELINE, worse)) == Verdict(Status.DISCARD)


def test_confirm_asks_for_the_second_seed_and_keeps_the_better_mean() -> None:
    promising = measured(1, {A0: 1.75})
    better = measured(1, {A0: 1.75, B0: 2.25})
    lucky = measured(1, {A0: 1.75, B0: 2.5})
    rule = Confirm(seed=0)

    assert rule.step(promising, population(BASELINE, promising)) == Measure(((1, B0),))
    assert rule.step(better, population(BASELINE, better)) == Verdict(Status.KEEP)
    assert rule.step(lucky, population(BASELINE, lucky)) == Verdict(Status.DISCARD)  # equal means are no gain


@pytest.mark.parametrize("sign", [1, -1])
def test_means_that_differ_by_rounding_are_no_gain(sign: int) -> None:
    steps = [(a, b, c, a + b - c) for a in range(20, 34) for b in range(20, 34) for c in range(a + 1, 34)]
    unequal = 0
    for a, b, c, d in steps:  # of 33 examples: better on one seed, as much worse on the other
        own, its = (dict(zip((A0, B0), (sign * step / 33 for step in pair), strict=True)) for pair in ((a, b), (c, d)))
        champion, candidate = measured(0, its, status=Status.BASELINE, decided=0), measured(1, own)
        unequal += statistics.fmean(own.values()) < statistics.fmean(its.values())

        assert Confirm(seed=0).step(candidate, population(champion, candidate)) == Verdict(Status.DISCARD)

    assert unequal > 10


def test_a_keep_rotates_the_pair_and_the_champion_is_measured_again() -> None:
    champion = measured(1, {A0: 1.9, B0: 2.0}, status=Status.KEEP, decided=1)
    fresh = measured(2, {})
    gated = measured(2, {A1: 1.7})
    rule = Confirm(seed=0)

    assert rule.step(fresh, population(BASELINE, champion, fresh)) == Measure(((2, A1),))
    assert rule.step(gated, population(BASELINE, champion, gated)) == Measure(((1, A1),))
    champion = replace(champion, evaluations=(*champion.evaluations, make_evaluation(1.6, seed=A1)))
    assert rule.step(gated, population(BASELINE, champion, gated)) == Verdict(Status.DISCARD)


def test_without_rotation_the_pair_stays_and_no_champion_is_measured_again() -> None:
    champion = measured(1, {A0: 1.9, B0: 2.0}, status=Status.KEEP, decided=1)
    fresh, gated = measured(2, {}), measured(2, {A0: 1.7})
    rule = Confirm(seed=0, rotate=False)

    assert rule.step(fresh, population(BASELINE, champion, fresh)) == Measure(((2, A0),))
    assert rule.step(gated, population(BASELINE, champion, gated)) == Measure(((2, B0),))


def test_three_seeds_are_trained_one_by_one_as_long_as_the_candidate_is_ahead() -> None:
    third = training_seed(0, 2)
    baseline = measured(0, {A0: 2.0, B0: 2.25, third: 2.0}, status=Status.BASELINE, decided=0)
    rule = Confirm(seed=0, seeds=3)
    second = measured(1, {A0: 1.75})
    ahead, behind = measured(1, {A0: 1.75, B0: 2.25}), measured(1, {A0: 1.75, B0: 2.75})

    assert rule.step(second, population(baseline, second)) == Measure(((1, B0),))
    assert rule.step(ahead, population(baseline, ahead)) == Measure(((1, third),))
    assert rule.step(behind, population(baseline, behind)) == Verdict(Status.DISCARD)
    lucky = measured(1, {A0: 1.75, B0: 2.25, third: 2.5})
    assert rule.step(lucky, population(baseline, lucky)) == Verdict(Status.DISCARD)


def test_a_candidate_from_before_the_keep_is_compared_on_the_seed_that_both_have() -> None:
    champion = measured(1, {A0: 1.9, B0: 2.0}, status=Status.KEEP, decided=1)
    worse, better = measured(2, {A0: 1.95}), measured(2, {A0: 1.8})
    rule = Confirm(seed=0)

    assert rule.step(worse, population(BASELINE, champion, worse)) == Verdict(Status.DISCARD)
    assert rule.step(better, population(BASELINE, champion, better)) == Measure(((2, A1), (1, A1)))


def test_a_champion_that_fails_on_the_new_seeds_loses_to_one_that_does_not() -> None:
    champion = measured(1, {A0: 1.9, B0: 2.0, A1: None, B1: None}, status=Status.KEEP, decided=1)
    candidate = measured(2, {A1: 2.5, B1: 2.5})

    assert Confirm(seed=0).step(candidate, population(BASELINE, champion, candidate)) == Verdict(Status.KEEP)


def test_naive_keeps_whatever_is_lower_once() -> None:
    lucky = measured(1, {A0: 1.99})

    assert Naive(seed=0).step(lucky, population(BASELINE, lucky)) == Verdict(Status.KEEP)
    equal = measured(1, {A0: 2.0})
    assert Naive(seed=0).step(equal, population(BASELINE, equal)) == Verdict(Status.DISCARD)


def test_confirm_reports_its_champion_with_less_luck_than_naive_does() -> None:
    equal, noise = [2.0] * 200, 0.01
    luck = {}
    for rule in (Confirm, Naive):
        champions = [settle(rule(seed=seed), equal, noise, random.Random(seed)).champion for seed in range(10)]
        luck[rule] = statistics.fmean((2.0 - champion.score) / noise for champion in champions if champion)

    assert luck[Naive] > 2.0  # the luckiest of 200
    assert luck[Confirm] < luck[Naive] / 2


def test_training_seeds_differ_between_searches_and_between_indices() -> None:
    seeds = {training_seed(search, index) for search in range(20) for index in range(20)}

    assert len(seeds) == 400
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_keep_tells_that_the_program_does_not_use_its_seed() -> None:
    better = measured(1, {A0: 1.9, B0: 1.9})
    better = replace(better, evaluations=tuple(replace(run, weights_sha256="a") for run in better.evaluations))

    verdict = Confirm(seed=0).step(better, population(BASELINE, better))

    assert isinstance(verdict, Verdict)
    assert verdict.status is Status.KEEP
    assert "gave the same weights" in verdict.detail
