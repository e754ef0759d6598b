"""One comparable score per program from trainings on different seeds, and its uncertainty.

A training seed shifts the score of similar programs by about the same amount: an unlucky order of the data is unlucky
for all of them. Programs that were trained on different seeds are compared by `score` in

    measured[program, seed] = score[program] + effect[seed] + residual,    effect ~ N(0, residual variance / RIDGE)

fitted by least squares with that prior (the additive two-way model with a random seed effect, Henderson 1975). Seeds
that share no program get no effect. Effects are relative to the seeds of the baseline, whose score is its plain mean.

The posterior of a score is that of a normal mean with a normal prior, both fitted to all programs of the search (Morris
1983, Parametric Empirical Bayes Inference). The best of many programs is as good as it looks only if programs differ by
more than trainings do, so scores are shrunk by as much as noise explains. The residual variance is the REML estimate at
the given RIDGE. Centre and spread of the prior are median and MAD, so a diverged program does not distort it. No score
moves by more than its standard error (limited translation, Efron & Morris 1972), so an outlier keeps its score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIDGE: Final = 0.25
"""Residual variance over the variance between seeds: edits of one shape correlate by .93 to 1 between seeds."""

_MAD_SD: Final = 1.4826  # sd of a normal distribution in units of its median absolute deviation
_FEWEST: Final = 3  # programs needed to estimate how much programs differ

Values = Mapping[int, Mapping[int, float]]
"""Measured score by program and training seed; each program has at least one."""


def seed_adjusted(values: Values, baseline: int) -> dict[int, float]:
    """Return a score for each program.

    Args:
        values: The trainings.
        baseline: The reference program for effects.
    """
    return dict(zip(values, _fit(values, baseline).scores.tolist(), strict=True))


def posterior(values: Values, baseline: int) -> dict[int, tuple[float, float]]:
    """Return the posterior mean of each program's score, and its standard error.

    As long as no program was trained on two seeds, the mean is the score and the standard error infinite.

    Args:
        values: The trainings.
        baseline: The reference program for effects.
    """
    import numpy as np

    fit = _fit(values, baseline)
    means, errors = fit.scores, np.sqrt(fit.variances)
    if len(values) >= _FEWEST and np.isfinite(errors).all():
        centre, typical = np.median(means), fit.variances.mean()
        spread = (_MAD_SD * np.median(abs(means - centre))) ** 2 - typical
        # Few programs cannot show that programs do not differ: use at least a standard error of this estimate.
        prior = max(spread, typical * math.sqrt(2 / (len(values) - 1)))
        noise = fit.variances / (prior + fit.variances) if prior else np.zeros(len(values))
        means = means + np.clip(noise * (centre - means), -errors, errors)
        errors = errors * np.sqrt(1 - noise)
    return dict(zip(values, zip(means.tolist(), errors.tolist(), strict=True), strict=True))


@dataclass(frozen=True, slots=True)
class _Fit:
    """The model, fitted.

    Attributes:
        scores: (P,), in the order of the programs.
        variances: (P,), of the errors of the scores; infinite if no program was trained on two seeds.
    """

    scores: NDArray[np.float64]
    variances: NDArray[np.float64]


def _fit(values: Values, baseline: int) -> _Fit:
    """Eliminate the programs from the normal equations, and solve for the S seeds."""
    import numpy as np

    place = {seed: index for index, seed in enumerate(dict.fromkeys(seed for runs in values.values() for seed in runs))}
    measured = np.zeros((len(values), len(place)))
    present = np.zeros_like(measured)
    for row, runs in enumerate(values.values()):
        columns = [place[seed] for seed in runs]
        measured[row, columns] = list(runs.values())
        present[row, columns] = 1.0
    counts = present.sum(axis=1)
    share = present / counts[:, None]  # (P, S), share of each seed in a program's trainings
    means = measured.sum(axis=1) / counts
    precision = RIDGE * np.eye(len(place)) + np.diag(present.sum(axis=0)) - present.T @ share
    covariance = np.linalg.inv(precision)  # of the effects, over the residual variance
    residuals = present * (measured - means[:, None])
    effects = covariance @ residuals.sum(axis=0)
    away = share[list(values).index(baseline)] - share
    scores = means + away @ effects

    left = residuals - present * (effects - (share @ effects)[:, None])
    freedom = int(counts.sum()) - len(values)
    residual = (np.sum(left**2) + RIDGE * np.sum(effects**2)) / freedom if freedom else math.inf
    return _Fit(scores, residual * (1 / counts + np.einsum("ps,st,pt->p", away, covariance, away, optimize=True)))
