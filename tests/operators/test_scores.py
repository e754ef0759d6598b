from __future__ import annotations

import random
import statistics

import pytest

from operators.scores import seed_adjusted


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
