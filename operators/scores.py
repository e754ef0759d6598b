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

A program whose own trainings are many times as far apart as those of others (one of two diverged) says nothing about
seeds and noise: it would move the scores of all others. It is left out of both; its error is that of its own spread.
"""

from __future__ import annotations

import copy
import functools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from operators.outliers import gross_outliers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RIDGE: Final = 0.25
"""Residual variance over the variance between seeds: edits of one shape correlate by .93 to 1 between seeds."""

_MAD_SD: Final = 1.4826  # sd of a normal distribution in units of its median absolute deviation
_FEW_LOOK_UPS: Final = 32
_FEWEST: Final = 3  # programs needed to estimate how much programs differ

Values = Mapping[int, Mapping[int, float]]
"""Measured score by program and training seed; each program has at least one."""

_Value = TypeVar("_Value")


def seed_adjusted(values: Values, baseline: int) -> dict[int, float]:
    """Return a score for each program.

    Args:
        values: The trainings.
        baseline: The reference program for effects.
    """
    return dict(zip(values, Measurements(values, baseline).fit.scores.tolist(), strict=True))


def posterior(values: Values, baseline: int) -> dict[int, tuple[float, float]]:
    """Return the posterior mean of each program's score, and its standard error.

    As long as no program was trained on two seeds, the mean is the score and the standard error infinite.

    Args:
        values: The trainings.
        baseline: The reference program for effects.
    """
    means, errors = Measurements(values, baseline).fit.posterior
    return dict(zip(values, zip(means.tolist(), errors.tolist(), strict=True), strict=True))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Measurements of P programs on S seeds, and what follows for each program alone.

    Attributes:
        present: (P, S), 1 where there is a measurement, else 0.
        counts: (P,), the number of measurements.
        share: (P, S), share of each seed in a program's trainings.
        means: (P,), the mean of the measurements.
        residuals: (P, S), the measurements minus their mean; 0 where there is none.
    """

    present: Floats
    counts: Floats
    share: Floats
    means: Floats
    residuals: Floats

    @classmethod
    def of(cls, values: Iterable[Mapping[int, float]], place: Mapping[int, int]) -> _Rows:
        """Derive the rows of some programs, given the column of each seed."""
        import numpy as np

        runs = list(values)
        measured = np.zeros((len(runs), len(place)))
        present = np.zeros_like(measured)
        for row, each in enumerate(runs):
            columns = [place[seed] for seed in each]
            measured[row, columns] = list(each.values())
            present[row, columns] = 1.0
        counts = present.sum(axis=1)
        means = measured.sum(axis=1) / counts
        return cls(present, counts, present / counts[:, None], means, present * (measured - means[:, None]))

    def with_row(self, row: int, old: int, new: _Rows) -> _Rows:
        """Return these rows with one of them, if `old` is 1, or none, if it is 0, replaced by others."""
        import numpy as np

        def changed(name: str) -> Floats:
            here, there = getattr(self, name), getattr(new, name)
            return np.concatenate([here[:row], there, here[row + old :]])

        return _Rows(*(changed(each.name) for each in fields(self)))

    def only(self, chosen: NDArray[np.bool_]) -> _Rows:
        """Return some of these rows; these themselves if all are chosen."""
        if chosen.all():
            return self
        return _Rows(*(getattr(self, each.name)[chosen] for each in fields(self)))


class Measurements:
    """The measured scores of programs, and what follows from it; immutable.

    Args:
        values: The trainings; in order of the programs' numbers, unless only `fit` is used.
        baseline: The reference program for effects; None for the first.
    """

    def __init__(self, values: Values, baseline: int | None = None) -> None:
        self._numbers = tuple(values)
        self._first: dict[int, int] = {}  # the first program of each seed, in the order of the columns
        for number, runs in values.items():
            for seed in runs:
                self._first.setdefault(seed, number)
        self._place = {seed: index for index, seed in enumerate(self._first)}
        self._rows = _Rows.of(values.values(), self._place)
        self._baseline = 0 if baseline is None else self._numbers.index(baseline)

    def with_row(self, number: int, runs: Mapping[int, float]) -> Measurements | None:
        """Return the measurements with others for one program.

        Args:
            number: The program; it may be new.
            runs: Its trainings; empty to leave it out.

        Returns:
            The measurements, or None if the order of the seeds may change: then they must be built anew.
        """
        row = bisect_left(self._numbers, number)
        old = int(row < len(self._numbers) and self._numbers[row] == number)
        before = [seed for seed, column in self._place.items() if old and self._rows.present[row, column]]
        if row == 0 or any(self._first.get(seed, number) >= number for seed in (*before, *runs)):
            return None
        changed = copy.copy(self)
        for derived in ("fit", "scores", "posterior"):
            changed.__dict__.pop(derived, None)
        changed._numbers = (*self._numbers[:row], *((number,) if runs else ()), *self._numbers[row + old :])
        changed._rows = self._rows.with_row(row, old, _Rows.of([runs] if runs else [], self._place))
        return changed

    @functools.cached_property
    def fit(self) -> Fit:
        """The model, fitted to the measurements."""
        return Fit(self._rows, self._baseline)

    @functools.cached_property
    def scores(self) -> Mapping[int, float]:
        """The score of each program."""
        if not self._numbers:
            return {}
        return _ByNumber(self._numbers, (self.fit.scores,), lambda score: score)

    @functools.cached_property
    def posterior(self) -> Mapping[int, tuple[float, float]]:
        """Posterior mean and standard error of each program's score."""
        if not self._numbers:
            return {}
        return _ByNumber(self._numbers, self.fit.posterior, lambda mean, error: (mean, error))

    def error_between(self, number: int, other: int) -> float | None:
        """Return the standard error of the difference of two scores; None if a score is missing, or nothing tells it.

        Nothing tells it as long as no program was trained on two seeds.
        """
        rows = [bisect_left(self._numbers, each) for each in (number, other)]
        if any(self._numbers[row : row + 1] != (each,) for row, each in zip(rows, (number, other), strict=True)):
            return None
        error = self.fit.error_between(*rows)
        return error if math.isfinite(error) else None

    @property
    def residual_sd(self) -> float | None:
        """Standard deviation of a training around score and effect; None as long as nothing tells it."""
        sd = math.sqrt(self.fit.residual_variance) if self._numbers else math.inf
        return sd if math.isfinite(sd) else None

    @property
    def freedom(self) -> int:
        """Trainings that tell `residual_sd`, after one is taken for each program and each seed; at least 0."""
        if not self._numbers:
            return 0
        rows = self._rows.only(self.fit.telling)
        return max(0, int(rows.counts.sum()) - len(rows.counts) - int(rows.present.any(axis=0).sum()) + 1)

    def best_first(self) -> list[int]:
        """Return the programs, best first; equal scores in order of number."""
        if not self._numbers:
            return []
        return [self._numbers[row] for row in self.fit.scores.argsort(kind="stable").tolist()]


class _ByNumber(Mapping[int, _Value], Generic[_Value]):
    """A value for each program, looked up by its number.

    Many callers ask for few values, and some for many: only for these, a dictionary of all is made.
    """

    def __init__(self, numbers: tuple[int, ...], columns: tuple[Floats, ...], value: Callable[..., _Value]) -> None:
        self._numbers = numbers
        self._columns = columns
        self._value = value
        self._looked_up = 0
        self._all: dict[int, _Value] = {}

    def __getitem__(self, number: int) -> _Value:
        if self._all:
            return self._all[number]
        self._looked_up += 1
        if self._looked_up > _FEW_LOOK_UPS:
            rows = zip(*(column.tolist() for column in self._columns), strict=True)
            self._all = {each: self._value(*row) for each, row in zip(self._numbers, rows, strict=True)}
            return self._all[number]
        row = bisect_left(self._numbers, number)
        if row == len(self._numbers) or self._numbers[row] != number:
            raise KeyError(number)
        return self._value(*(float(column[row]) for column in self._columns))

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Fit:
    """The model, fitted; arrays have one entry for each program, in their order.

    The programs are eliminated from the normal equations, which are solved for the seeds.

    Args:
        rows: The measurements.
        baseline: Row of the reference program.
    """

    def __init__(self, rows: _Rows, baseline: int) -> None:
        import numpy as np

        self._rows = rows
        # (P,), the programs that tell something about seeds and noise
        self.telling = ~gross_outliers(rows.present, rows.residuals, fewest=_FEWEST)
        told = rows.only(self.telling)
        n_seeds = rows.present.shape[1]
        precision = RIDGE * np.eye(n_seeds) + np.diag(told.present.sum(axis=0)) - told.present.T @ told.share
        self._covariance = np.linalg.inv(precision)  # of the effects, over the residual variance
        self._effects = self._covariance @ told.residuals.sum(axis=0)
        self._away = rows.share[baseline] - rows.share
        self.scores: Floats = rows.means + self._away @ self._effects

    @functools.cached_property
    def _left(self) -> Floats:
        """(P, S), the measurements minus score and effect; 0 where there is none."""
        rows, effects = self._rows, self._effects
        left: Floats = rows.residuals - rows.present * (effects - (rows.share @ effects)[:, None])
        return left

    @functools.cached_property
    def residual_variance(self) -> float:
        """Variance of a training around score and effect; infinite if no program was trained on two seeds."""
        import numpy as np

        counts, left = self._rows.counts[self.telling], self._left[self.telling]
        freedom = int(counts.sum()) - len(counts)
        return float((np.sum(left**2) + RIDGE * np.sum(self._effects**2)) / freedom) if freedom else math.inf

    @functools.cached_property
    def _excess(self) -> Floats:
        """(P,), by how much a program that is left out varies more than the others: of the error of its score."""
        import numpy as np

        found: Floats = np.zeros(len(self._rows.counts))
        if not self.telling.all():
            counts, out = self._rows.counts, ~self.telling
            own = np.sum(self._left[out] ** 2, axis=1) / (counts[out] - 1)
            found[out] = np.maximum(0.0, own - self.residual_variance) / counts[out]
        return found

    @functools.cached_property
    def variances(self) -> Floats:
        """Variances of the errors of the scores, by the variance that all share; infinite if nothing tells it."""
        import numpy as np

        spread = np.einsum("ps,st,pt->p", self._away, self._covariance, self._away, optimize=True)
        found: Floats = self.residual_variance * (1 / self._rows.counts + spread)
        return found

    def error_between(self, row: int, other: int) -> float:
        """Return the standard error of the difference of two scores; the effects of seeds that both have cancel."""
        counts, apart = self._rows.counts, self._rows.share[other] - self._rows.share[row]
        spread = float(apart @ self._covariance @ apart)
        shared = self.residual_variance * float(1 / counts[row] + 1 / counts[other] + spread)
        return math.sqrt(shared + float(self._excess[row] + self._excess[other]))

    @functools.cached_property
    def posterior(self) -> tuple[Floats, Floats]:
        """Posterior means of the scores, and their standard errors."""
        import numpy as np

        means, variances = self.scores, self.variances
        errors = np.sqrt(variances)
        if len(means) < _FEWEST or not np.isfinite(errors).all():
            return means, errors
        centre, typical = np.median(means), variances.mean()
        spread = (_MAD_SD * np.median(abs(means - centre))) ** 2 - typical
        # Few programs cannot show that programs do not differ: use at least a standard error of this estimate.
        prior = max(spread, typical * math.sqrt(2 / (len(means) - 1)))
        noise = variances / (prior + variances) if prior else np.zeros(len(means))
        beliefs = means + np.clip(noise * (centre - means), -errors, errors)
        return beliefs, np.sqrt(variances * (1 - noise) + self._excess)
