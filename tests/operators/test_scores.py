from __future__ import annotations

import math
import random
import statistics

import pytest

from operators.scores import Measurements, posterior, seed_adjusted


def test_one_seed_leaves_the_values_as_they_are() -> None:
    assert seed_adjusted({0: {7: 2.0}, 1: {7: 1.5}}, 0) == pytest.approx({0: 2.0, 1: 1.5})


def test_the_baseline_keeps_its_mean() -> None:
    values = {0: {1: 2.0, 2: 2.4}, 1: {2: 2.2, 3: 2.6}, 2: {3: 2.5}}

    assert seed_adjusted(values, 0)[0] == pytest.approx(2.2)


def test_luck_with_the_seed_is_taken_off() -> None:
    # Seed 2 adds about 0.4 to everything; trial 2 was only ever measured there, and is the best.
    values = {0: {1: 2.0, 2: 2.4}, 1: {1: 1.9, 2: 2.3}, 2: {2: 2.2}}
    scores = seed_adjusted(values, 0)

    assert scores[2] < scores[1] < scores[0]
    assert statistics.fmean(values[2].values()) > statistics.fmean(values[1].values())  # the plain means say otherwise


def test_seeds_that_nothing_connects_get_no_effect() -> None:
    assert seed_adjusted({0: {1: 2.0}, 1: {2: 3.0}}, 0) == pytest.approx({0: 2.0, 1: 3.0})


def test_true_effects_are_found_again() -> None:
    rng = random.Random(0)
    truth = {number: 2 - number / 50 for number in range(40)}
    luck = {seed: rng.gauss(0, 0.1) for seed in range(8)}
    values = {
        number: {
            seed: value + luck[seed] + rng.gauss(0, 0.001)
            for seed in ((0, 1) if number == 0 else (number % 8, (number + 1) % 8))
        }
        for number, value in truth.items()
    }
    scores = seed_adjusted(values, 0)
    shift = scores[0] - truth[0]

    assert max(abs(scores[number] - shift - value) for number, value in truth.items()) < 0.01
    plain = [statistics.fmean(values[number].values()) - shift - value for number, value in truth.items()]
    assert max(map(abs, plain)) > 0.05


def test_a_seed_that_one_program_alone_has_takes_part_of_the_blame() -> None:
    assert seed_adjusted({0: {1: 2.0}, 1: {1: 2.0, 2: 3.0}}, 0) == pytest.approx({0: 2.0, 1: 2.1}, abs=1e-3)


def trained(rng: random.Random, *, spread: float, sd: float, programs: int = 30) -> tuple[dict, dict]:
    """Return the trainings of programs whose true scores are normal, and those scores on the seeds of program 0."""
    luck = {seed: rng.gauss(0, 2 * sd) for seed in range(6)}
    truth = {number: rng.gauss(2, spread) for number in range(programs)}
    values = {}
    for number in truth:
        seeds = (0, 1) if number == 0 else rng.sample(sorted(luck), rng.choice([1, 1, 1, 2]))
        values[number] = {seed: truth[number] + luck[seed] + rng.gauss(0, sd) for seed in seeds}
    origin = (luck[0] + luck[1]) / 2
    return values, {number: value + origin for number, value in truth.items()}


def test_the_posterior_takes_off_the_luck_of_the_best_of_many() -> None:
    score_errors, posterior_errors = [], []
    for seed in range(60):
        values, truth = trained(random.Random(seed), spread=0.02, sd=0.01)
        scores, beliefs = seed_adjusted(values, 0), posterior(values, 0)
        best = min(scores, key=scores.__getitem__)
        score_errors.append(scores[best] - truth[best])
        posterior_errors.append(beliefs[best][0] - truth[best])

    assert statistics.fmean(score_errors) < -0.008  # looks better than it is
    assert abs(statistics.fmean(posterior_errors)) < 0.003


def test_standard_errors_are_about_as_large_as_the_errors() -> None:
    within = []
    for seed in range(60):
        values, truth = trained(random.Random(seed), spread=0.02, sd=0.01)
        within += [abs(mean - truth[number]) < 2 * error for number, (mean, error) in posterior(values, 0).items()]

    assert 0.8 < statistics.fmean(within) < 0.99


def test_a_further_training_makes_a_program_more_certain() -> None:
    values = {0: {1: 2.0, 2: 2.4}, 1: {1: 1.9, 2: 2.31}, 2: {2: 2.2}}
    more = {**values, 2: {1: 1.85, 2: 2.2}}

    assert posterior(more, 0)[2][1] < posterior(values, 0)[2][1]


def test_without_a_repeated_program_nothing_is_known_about_noise() -> None:
    assert posterior({0: {1: 2.0}, 1: {1: 1.5}, 2: {1: 1.7}}, 0) == {
        0: (2.0, math.inf),
        1: (1.5, math.inf),
        2: (1.7, math.inf),
    }


def test_a_diverged_program_neither_moves_others_nor_is_moved() -> None:
    values, _ = trained(random.Random(1), spread=0.0, sd=0.01)
    calm = posterior(values, 0)
    wild = posterior({**values, 99: {0: 7.5}}, 0)

    assert wild[99][0] == pytest.approx(7.5, abs=0.1)
    assert max(abs(wild[number][0] - calm[number][0]) for number in calm) < 0.005


@pytest.mark.parametrize("diverged", [3.5, 50.0, 1e15])
def test_a_program_that_diverges_on_one_seed_moves_no_other(diverged: float) -> None:
    rng = random.Random(0)
    values = {number: {0: rng.gauss(2.5, 0.01)} for number in range(20)}
    values |= {number: values[number] | {1: rng.gauss(2.5, 0.01)} for number in range(0, 20, 4)}
    calm, wild = Measurements(values), Measurements({**values, 20: {0: 2.4, 1: diverged}})

    assert max(abs(wild.scores[number] - calm.scores[number]) for number in calm.scores) < 0.001
    assert wild.residual_sd == pytest.approx(calm.residual_sd, rel=0.01)
    assert wild.freedom == calm.freedom
    assert wild.scores[20] == pytest.approx((2.4 + diverged) / 2, abs=0.01)
    assert wild.posterior[20][1] > (diverged - 2.4) / 4  # its score is uncertain
    assert wild.error_between(0, 20) > (diverged - 2.4) / 4


def test_equal_scores_are_no_reason_to_leave_a_program_out() -> None:
    values = {number: {0: 0.25, 1: 0.25} for number in range(4)} | {4: {0: 0.25, 1: 0.5}}

    assert Measurements(values).residual_sd > 0.05


def test_programs_without_noise_are_left_as_they_are() -> None:
    values = {number: {0: 2.0 - number, 1: 2.0 - number} for number in range(5)}

    assert posterior(values, 0) == {number: (2.0 - number, 0.0) for number in range(5)}


def test_the_error_of_a_difference_is_that_which_repeated_searches_show() -> None:
    found, differences = [], []
    for seed in range(300):
        rng = random.Random(seed)
        effects = [rng.gauss(0, 0.02) for _ in range(2)]
        values = {n: {s: 2.0 + effects[s] + rng.gauss(0, 0.01) for s in (0, 1)} for n in range(5)}
        measured = Measurements(values)
        found.append(measured.error_between(1, 2) or 0.0)
        differences.append(measured.scores[1] - measured.scores[2])

    assert statistics.fmean(found) == pytest.approx(statistics.stdev(differences), rel=0.15)
    assert Measurements({0: {0: 2.0}, 1: {0: 1.9}}).error_between(0, 1) is None
    assert Measurements({0: {0: 2.0}, 1: {0: 1.9}}).error_between(0, 7) is None
