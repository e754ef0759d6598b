"""One comparable score a program, from trainings on different seeds.

A training seed shifts the score of similar programs by about the same amount: an unlucky order of the data is unlucky
for all of them. Programs that were trained on different seeds are compared by their own part of

    val_bpb[program, seed] = score[program] + effect[seed] + residual,    effect ~ N(0, residual variance / RIDGE)

fitted by least squares with that prior (the additive two-way model with a random seed effect, Henderson 1975). Seeds
that nothing connects get no effect. Effects are counted from the seeds of the baseline, whose score is its plain mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean
from typing import Final

RIDGE: Final = 0.25
"""Residual variance over the variance between seeds: edits of one shape correlate by .93 to 1 between seeds."""

_SWEEPS: Final = 100
_TOLERANCE: Final = 1e-9


def seed_adjusted(values: Mapping[int, Mapping[int, float]], baseline: int) -> dict[int, float]:
    """Return a score for each program.

    Args:
        values: val_bpb by program and training seed; each program has at least one.
        baseline: The program that effects are counted from.
    """
    effects = dict.fromkeys((seed for runs in values.values() for seed in runs), 0.0)
    scores: dict[int, float] = {}
    for _ in range(_SWEEPS):  # alternate between the two exact solutions, which converges to the joint one
        scores = {
            number: fmean(value - effects[seed] for seed, value in runs.items()) for number, runs in values.items()
        }
        residuals = defaultdict(list)
        for number, runs in values.items():
            for seed, value in runs.items():
                residuals[seed].append(value - scores[number])
        fitted = {seed: sum(each) / (len(each) + RIDGE) for seed, each in residuals.items()}
        change = max(abs(fitted[seed] - effects[seed]) for seed in effects)
        effects = fitted
        if change < _TOLERANCE:
            break
    origin = fmean(effects[seed] for seed in values[baseline])
    return {number: score + origin for number, score in scores.items()}
