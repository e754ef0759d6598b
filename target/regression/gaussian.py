"""Gaussian-process regression, fast enough to be fitted again at every proposal.

Rasmussen and Williams 2006, Gaussian Processes for Machine Learning: chapter 2 (regression), section 4.2.1 (Matern
covariance), section 5.4.1 (marginal likelihood and its gradient).

scikit-learn's regressor has no priors on the lengths, and estimates the noise of repeated observations outside of the
fit. Here a dozen trials must do, and means of different numbers of trainings have different noise.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PRIOR_SD: Final = 1.0  # of the logarithm of a length
_NUGGET_PRIOR: Final = (-6.0, 1.5)  # mean and sd of the logarithm of noise variance over signal variance
_BOUNDS: Final = ((-3.5, 3.5), (-11.0, 1.0))  # of log lengths and of the log nugget
_JITTER: Final = 1e-8


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process with constant mean and Matern-5/2 covariance, one length for each input.

    Attributes:
        inputs: (N, D).
        targets: (N,).
        lengths: (D,), the distance along each input over which targets stay alike.
        nugget: Noise variance of one observation over signal variance.
        counts: (N,), number of observations whose mean each target is; None for one each.
    """

    inputs: Floats
    targets: Floats
    lengths: Floats
    nugget: float
    counts: Floats | None = None

    @functools.cached_property
    def _solved(self) -> tuple[Any, Floats, float, float]:
        """Return the Cholesky factor, the weights of the observations, the mean and the signal variance."""
        covariance = _matern(_squared(self.inputs, self.inputs, self.lengths))
        counts = np.ones(len(self.targets)) if self.counts is None else self.counts
        covariance[np.diag_indices_from(covariance)] += self.nugget / counts + _JITTER
        factor = scipy.linalg.cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        ones = np.ones(len(self.targets))
        weights = scipy.linalg.cho_solve(factor, ones, check_finite=False)
        mean = float(weights @ self.targets / weights.sum())
        residual = self.targets - mean
        alpha = scipy.linalg.cho_solve(factor, residual, check_finite=False)
        return factor, alpha, mean, max(float(residual @ alpha) / len(residual), 1e-12)

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the noise of one observation."""
        return float(np.sqrt(self._solved[3] * self.nugget))

    def mean(self, points: Floats) -> Floats:
        """Return the posterior mean at (M, D) points, (M,)."""
        return self.posterior_mean().mean(points)

    def posterior_mean(self) -> PosteriorMean:
        """Return the mean function without uncertainty: small, and fast at single points."""
        _, alpha, mean, _ = self._solved
        return PosteriorMean(self.inputs / self.lengths, self.lengths, alpha, np.array(mean))

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Return posterior mean and standard deviation, noise excluded, at (M, D) points."""
        factor, alpha, mean, variance = self._solved
        cross = _matern(_squared(points, self.inputs, self.lengths))
        half = scipy.linalg.solve_triangular(factor[0], cross.T, lower=True, check_finite=False)
        explained = np.einsum("nm,nm->m", half, half)
        return mean + cross @ alpha, np.sqrt(variance * np.maximum(1 - explained, 1e-10))


@dataclass(frozen=True)
class PosteriorMean:
    """Posterior mean of a process.

    Attributes:
        scaled: (N, D), inputs in units of the lengths.
        lengths: (D,).
        weights: (N,), of the observations.
        offset: (), the constant mean.
    """

    scaled: Floats
    lengths: Floats
    weights: Floats
    offset: Floats

    def mean(self, points: Floats) -> Floats:
        """Return the values at (M, D) points, (M,)."""
        values: Floats = self.offset + _matern(_squared_plain(points / self.lengths, self.scaled)) @ self.weights
        return values

    def arrays(self) -> dict[str, Any]:
        """Return all of its arrays."""
        return dict(vars(self))


def fit_lengths(
    inputs: Floats, targets: Floats, *, prior_length: float, start: tuple[Floats, float] | None = None, steps: int = 50
) -> tuple[Floats, float]:
    """Return the lengths and the nugget of largest posterior density.

    The signal variance is profiled out. The lengths have log-normal priors: inputs about which few observations say
    nothing then have little influence (Hvarfner et al. 2024, https://arxiv.org/abs/2402.02229).

    Args:
        inputs: (N, D).
        targets: (N,).
        prior_length: Median of the prior of a length.
        start: Where to begin; None for the prior's median.
        steps: Iterations of L-BFGS, at most.
    """
    from scipy.optimize import minimize

    n_inputs = inputs.shape[1]
    begin = np.append(np.full(n_inputs, np.log(prior_length)), _NUGGET_PRIOR[0])
    prior = (begin, np.append(np.full(n_inputs, _PRIOR_SD), _NUGGET_PRIOR[1]))
    if start is not None:
        begin = np.append(np.log(start[0]), np.log(start[1]))
    found = minimize(
        _objective,
        begin,
        args=(inputs, targets - targets.mean(), prior),
        jac=True,
        method="L-BFGS-B",
        bounds=[_BOUNDS[0]] * n_inputs + [_BOUNDS[1]],
        options={"maxiter": steps},
    )
    return np.exp(found.x[:-1]), float(np.exp(found.x[-1]))


def _objective(theta: Floats, inputs: Floats, targets: Floats, prior: tuple[Floats, Floats]) -> tuple[float, Floats]:
    """Return the negative log posterior density and its gradient in the logarithms of lengths and nugget."""
    n = len(targets)
    scaled = inputs / np.exp(theta[:-1])
    distance = np.sqrt(5 * _squared_plain(scaled, scaled))
    decay = np.exp(-distance)
    covariance = (1 + distance + distance**2 / 3) * decay
    nugget = np.exp(theta[-1])
    covariance[np.diag_indices_from(covariance)] += nugget + _JITTER
    factor, _ = scipy.linalg.cho_factor(covariance, lower=True, check_finite=False)
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ targets
    variance = max(float(targets @ alpha) / n, 1e-12)
    value = 0.5 * n * np.log(variance) + np.log(np.diag(factor)).sum()
    outer = np.outer(alpha, alpha / variance) - inverse
    slope = outer * ((5 / 3) * (1 + distance) * decay)  # times the squared difference of an input: d K / d log length
    by_length = np.einsum("nd,n,nd->d", scaled, slope.sum(1), scaled) - np.einsum("nd,nd->d", scaled, slope @ scaled)
    gradient = -np.append(by_length, 0.5 * nugget * np.trace(outer))
    deviation = (theta - prior[0]) / prior[1]
    return float(value) + 0.5 * float(deviation @ deviation), gradient + deviation / prior[1]


def _squared(left: Floats, right: Floats, lengths: Floats) -> Floats:
    return _squared_plain(left / lengths, right / lengths)


def _squared_plain(left: Floats, right: Floats) -> Floats:
    squared = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    found: Floats = np.maximum(squared, 0, out=squared)
    return found


def _matern(squared: Floats) -> Floats:
    distance = np.sqrt(5 * squared)
    values: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return values
