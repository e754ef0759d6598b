"""Statistics, against scipy where it has the same thing, and against what they promise."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search.statistics import (
    ALPHA,
    CONFIDENCE,
    POWER,
    detectable_difference,
    holm,
    mean_interval,
    mean_intervals,
    permutation_p,
    seeds_to_detect,
    seeds_to_exclude_zero,
    seeds_to_rank,
    smallest_p,
)

SIXTEENTHS = st.integers(-160, 160).map(lambda number: number / 16)  # equal, or apart by more than a tolerance
GROUPS = st.lists(SIXTEENTHS, min_size=2, max_size=4)


@given(GROUPS, GROUPS)
@settings(max_examples=25, deadline=None)
def test_a_permutation_test_counts_the_regroupings_that_are_as_far_apart(first: list[float], second: list[float]):
    pooled = [*first, *second]

    def difference(chosen: tuple[int, ...]) -> float:
        others = [value for index, value in enumerate(pooled) if index not in chosen]
        return statistics.fmean(pooled[index] for index in chosen) - statistics.fmean(others)

    observed = difference(tuple(range(len(first))))
    all_of_them = [difference(chosen) for chosen in itertools.combinations(range(len(pooled)), len(first))]
    one_sided = [statistics.fmean(sign * each >= sign * observed - 1e-9 for each in all_of_them) for sign in (1, -1)]

    assert permutation_p(first, second) == pytest.approx(min(1.0, 2 * min(one_sided)), abs=1e-9)


@pytest.mark.parametrize(("unit", "least"), [(0.01, 0.0), (0.1, 1234.0), (1 / 33, 0.0)])
def test_scores_with_few_decimals_have_the_p_value_of_their_steps(unit: float, least: float):
    rng = random.Random(0)
    for _ in range(20):
        first, second = ([rng.randrange(25, 31) for _ in range(5)] for _ in range(2))
        scores = [[least + unit * step for step in steps] for steps in (first, second)]

        assert permutation_p(*scores) == permutation_p(first, second)


@pytest.mark.parametrize(("n_first", "n_second"), [(2, 2), (4, 4), (3, 5)])
def test_no_data_gives_a_smaller_p_than_the_smallest(n_first: int, n_second: int):
    first, second = range(n_first), range(100, 100 + n_second)

    assert permutation_p(list(first), list(second)) == pytest.approx(smallest_p(n_first, n_second))


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_between_the_p_value_and_bonferroni_and_keeps_the_order(p_values: list[float]):
    adjusted = holm(p_values)

    for p, each in zip(p_values, adjusted, strict=True):
        assert p <= each <= min(1.0, len(p_values) * p)
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    assert [adjusted[index] for index in order] == sorted(adjusted)


def test_holm_as_in_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(SIXTEENTHS, min_size=2, max_size=8, unique=True))
@settings(max_examples=25, deadline=None)
def test_the_interval_of_a_mean_leaves_out_zero_just_when_a_t_test_rejects_it(values: list[float]):
    low, high = mean_interval(values)
    p = stats.ttest_1samp(values, 0.0).pvalue

    assert low <= statistics.fmean(values) <= high
    if abs(p - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (p < 0.05)


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_intervals_of_means_cover_as_often_as_they_say_also_with_few_seeds(n_seeds: int):
    low, high = mean_intervals(np.random.default_rng(0).normal(1.0, 2.0, size=(n_seeds, 8000)))

    assert low.shape == high.shape == (8000,)
    assert np.mean((low <= 1.0) & (high >= 1.0)) == pytest.approx(CONFIDENCE, abs=0.01)


@pytest.mark.parametrize(("n_seeds", "n_comparisons"), [(4, 1), (5, 6), (8, 3)])
def test_a_detectable_difference_is_found_as_often_as_it_says(n_seeds: int, n_comparisons: int):
    difference = detectable_difference(2.0, n_seeds, n_comparisons)
    rng = np.random.default_rng(0)
    pooled = np.hstack([rng.normal(0.0, 2.0, size=(600, n_seeds)), rng.normal(difference, 2.0, size=(600, n_seeds))])
    groups = np.zeros((math.comb(2 * n_seeds, n_seeds), 2 * n_seeds))
    np.put_along_axis(groups, np.array(list(itertools.combinations(range(2 * n_seeds), n_seeds))), 1.0, axis=1)
    sums = pooled @ groups.T  # (draws, regroupings), the first is the arms themselves
    p_values = np.minimum(1.0, 2 * np.mean(sums <= sums[:, :1] + 1e-9, axis=1))

    assert p_values[0] == pytest.approx(permutation_p(pooled[0, :n_seeds], pooled[0, n_seeds:]))
    assert np.mean(p_values <= ALPHA / n_comparisons) == pytest.approx(POWER, abs=0.04)


def test_seeds_to_detect_is_the_inverse_of_the_detectable_difference():
    for n_seeds in (6, 12, 40):
        difference = detectable_difference(1.0, n_seeds, 3)
        assert seeds_to_detect(difference * 1.0001, 1.0, 3) == n_seeds

    assert seeds_to_detect(0.003, 0.003, 1) == 17  # an effect of one standard deviation
    assert seeds_to_detect(0.0, 1.0, 1) is None
    assert seeds_to_detect(1e-9, 1.0, 1) is None


@pytest.mark.parametrize("n_comparisons", [1, 3, 10, 45])
def test_fewer_seeds_than_needed_can_never_be_significant(n_comparisons: int):
    needed = seeds_to_rank(n_comparisons)

    assert n_comparisons * smallest_p(needed, needed) <= ALPHA < n_comparisons * smallest_p(needed - 1, needed - 1)
    assert seeds_to_detect(1e6, 1.0, n_comparisons) == needed
    assert math.isinf(detectable_difference(1.0, needed - 1, n_comparisons))


def test_seeds_to_exclude_zero():
    needed = seeds_to_exclude_zero(-0.5, 1.0)

    assert needed is not None
    assert stats.t.isf(0.025, needed - 1) / needed**0.5 < 0.5 <= stats.t.isf(0.025, needed - 2) / (needed - 1) ** 0.5
    assert seeds_to_exclude_zero(0.0, 1.0) is None
