"""A model of recorded trainings: predicts the result of a training with other constants, in a millisecond.

There are two families, so that results with one can be checked with the other: a Gaussian process (smooth, and by far
the more accurate on held-out rows of the public record) and extremely randomised trees (piecewise constant, never
better than the recorded scores; Geurts et al. 2006). `blend` is their mean.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import numpy as np

from target.errors import TargetError
from target.evaluation import Outcome
from target.program.constants import Value, parse_constants
from target.program.space import Axis, axes_of, encode
from target.regression.forest import Forest, fit_forest
from target.regression.gaussian import Floats, GaussianProcess, PosteriorMean, fit_lengths
from target.regression.threads import one_thread
from target.simulated.recorded import Recorded, Recordings, Spread, measured_spread

Family = Literal["blend", "gp", "forest"]
VERSION: Final = 2  # of the cached fits: raise it when a fit would give another result
_LENGTH_ROWS: Final = 500  # lengths are fitted to this many rows, the process to all rows
_LENGTH_STEPS: Final = 60
_EXPECTED: Final = 5.0  # number of records expected by chance
_SHARPNESS: Final = 2.0  # of failure probabilities: a regression shrinks them towards 0.5; chosen by held-out log loss


class Regressor(Protocol):
    """A fitted function of encoded constants."""

    def mean(self, points: Floats) -> Floats:
        """Return the values at (M, D) points, (M,)."""


@dataclass(frozen=True)
class Blend:
    """The mean of two regressors.

    Attributes:
        parts: The regressors.
    """

    parts: tuple[Regressor, ...]

    def mean(self, points: Floats) -> Floats:
        """Return the values at (M, D) points, (M,)."""
        values: Floats = np.mean([part.mean(points) for part in self.parts], axis=0)
        return values


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted result of a training.

    Attributes:
        fail_probability: Probability that it fails.
        score: Noise-free score if it does not fail.
        memory_bytes: Peak memory if it does not fail.
    """

    fail_probability: float
    score: float
    memory_bytes: int | None


@dataclass(frozen=True)
class Surrogate:
    """A fitted model of a record.

    Attributes:
        axes: The constants as coordinates.
        default: Values of the seed program.
        noise: Noise between trainings of one program.
        failure: The most common outcome of failed trainings.
        seconds: Median seconds of a training by outcome.
        score: Regressor of `log(score - floor)`.
        floor: A value below all scores; resolution grows towards it.
        fail: Regressor of the probability of a failure.
        memory: Regressor of the logarithm of the peak memory; None if the record has no memory.
        seen: For pairs of constants with few levels, the levels of the second recorded with each level of the first.
    """

    axes: tuple[Axis, ...]
    default: Mapping[str, Value]
    noise: Spread
    failure: Outcome
    seconds: Mapping[Outcome, float]
    score: Regressor
    floor: float
    fail: Regressor
    memory: Regressor | None
    seen: Mapping[tuple[str, str], Mapping[Value, tuple[Value, ...]]]

    def predict(self, constants: Mapping[str, Value]) -> Prediction:
        """Return the predicted result of a training with these constants, without noise."""
        point = encode(self.axes, [self._admissible(constants)], self.default)
        memory = None if self.memory is None else round(float(np.exp(self.memory.mean(point)[0])))
        return Prediction(
            fail_probability=float(np.clip(0.5 + _SHARPNESS * (self.fail.mean(point)[0] - 0.5), 0, 1)),
            score=self.floor + float(np.exp(self.score.mean(point)[0])),
            memory_bytes=memory,
        )

    def _admissible(self, constants: Mapping[str, Value]) -> Mapping[str, Value]:
        """Return the constants as the recorded program would have interpreted them."""
        values = {**self.default, **constants}
        for axis in self.axes:
            for (first, second), levels in self.seen.items():
                known = levels.get(values[first], ()) if second == axis.name else ()
                if known and values[second] not in known:
                    place = axis.position(values[second])
                    values[second] = min(known, key=lambda level: abs(axis.position(level) - place))
        return values


def fit_surrogate(record: Recordings, family: Family, cache: Path | None = None) -> Surrogate:
    """Fit a surrogate to a record, or load it from the cache.

    Args:
        record: The trainings.
        family: `blend`, `gp` or `forest`.
        cache: Folder for fitted models; None to fit anew.

    Raises:
        TargetError: If there is no such family.
    """
    if family not in get_args(Family):
        raise TargetError(f"target.model must be blend, gp or forest, got {family!r}")
    constants = parse_constants(record.program.source)
    axes, default = axes_of(constants), record.program.constants
    scored = [row for row in record.rows if row.score is not None]
    scores = np.array([row.score for row in scored])
    best, quarter = scores.min(), np.quantile(scores, 0.25)
    floor = float(best - 0.8 * max(quarter - best, 1e-3))
    failed = [row.outcome for row in record.rows if row.outcome is not Outcome.OK]
    measured = [row for row in scored if row.memory_bytes]
    quantities: dict[str, tuple[Sequence[Recorded], Floats]] = {
        "score": (scored, np.log(scores - floor)),
        "fail": (record.rows, np.array([float(row.score is None) for row in record.rows])),
    }
    if measured:
        quantities["memory"] = (measured, np.log([row.memory_bytes or 1 for row in measured]))
    fitted = {
        name: _fit_family(family, name, record, _merged(axes, default, rows, targets), cache)
        for name, (rows, targets) in quantities.items()
    }
    return Surrogate(
        axes=axes,
        default=default,
        noise=measured_spread(record.rows),
        failure=Counter(failed).most_common(1)[0][0] if failed else Outcome.CRASHED,
        seconds=_seconds(record.rows),
        score=fitted["score"],
        floor=floor,
        fail=fitted["fail"],
        memory=fitted.get("memory"),
        seen=_seen_together(axes, record.rows),
    )


def _seen_together(
    axes: Sequence[Axis], rows: Sequence[Recorded]
) -> dict[tuple[str, str], dict[Value, tuple[Value, ...]]]:
    """Return the recorded combinations of levels of powers of two, for pairs with a combination that never occurs.

    Programs correct or forbid combinations, for example a batch smaller than that of one device, and the record has the
    corrected values. Nothing is known about the other combinations, so a model would invent their results. They are
    replaced by the nearest recorded combination. A combination counts as missing if it would be expected at least
    `_EXPECTED` times by chance.
    """
    found = {}
    names = [axis.name for axis in axes if axis.kind == "pow2"]
    for first, second in itertools.combinations(names, 2):
        pairs = Counter((row.constants[first], row.constants[second]) for row in rows)
        ones, twos = Counter(row.constants[first] for row in rows), Counter(row.constants[second] for row in rows)
        expected = {pair: ones[pair[0]] * twos[pair[1]] / len(rows) for pair in itertools.product(ones, twos)}
        if any(expected[pair] >= _EXPECTED and pair not in pairs for pair in expected):
            found[first, second] = {
                one: tuple(two for two in twos if (one, two) in pairs or expected[one, two] < _EXPECTED) for one in ones
            }
    return found


def _merged(
    axes: Sequence[Axis], default: Mapping[str, Value], rows: Sequence[Recorded], targets: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return one row for each assignment of constants, the mean of its targets, and their number."""
    groups: dict[tuple[Value, ...], list[float]] = defaultdict(list)
    for row, target in zip(rows, targets, strict=True):
        groups[tuple(row.constants.values())].append(float(target))
    names = list(rows[0].constants)
    inputs = encode(axes, [dict(zip(names, key, strict=True)) for key in groups], default)
    means = np.array([statistics.fmean(values) for values in groups.values()])
    return inputs, means, np.array([float(len(values)) for values in groups.values()])


def _fit_family(
    family: Family, name: str, record: Recordings, merged: tuple[Floats, Floats, Floats], cache: Path | None
) -> Regressor:
    members: tuple[Family, ...] = ("gp", "forest") if family == "blend" else (family,)
    parts = tuple(_fit(member, _key(name, member, record), *merged, cache) for member in members)
    return parts[0] if len(parts) == 1 else Blend(parts)


def _fit(family: Family, key: str, inputs: Floats, targets: Floats, counts: Floats, cache: Path | None) -> Regressor:
    kind: Any = PosteriorMean if family == "gp" else Forest
    path = cache / f"{key}.npz" if cache else None
    if path and path.exists():
        with np.load(path) as stored:
            found: Regressor = kind(**{name: stored[name] for name in stored.files})
            return found
    fitted: Any = _fit_process(inputs, targets, counts) if family == "gp" else fit_forest(inputs, targets, counts)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.npz")  # readers see the complete file or none
        np.savez_compressed(part, **fitted.arrays())
        part.replace(path)
    made: Regressor = fitted
    return made


def _fit_process(inputs: Floats, targets: Floats, counts: Floats) -> PosteriorMean:
    chosen = np.random.default_rng(0).permutation(len(targets))[:_LENGTH_ROWS]
    spread = float(targets.std()) or 1.0
    with one_thread():  # ten times slower with more when the cores are shared
        lengths, nugget = fit_lengths(inputs[chosen], targets[chosen] / spread, prior_length=1.0, steps=_LENGTH_STEPS)
    return GaussianProcess(inputs, targets, lengths, nugget, counts).posterior_mean()


def _seconds(rows: Sequence[Recorded]) -> dict[Outcome, float]:
    taken = defaultdict(list)
    for row in rows:
        taken[row.outcome].append(row.seconds)
    return {outcome: statistics.median(values) for outcome, values in taken.items()}


def _key(name: str, family: Family, record: Recordings) -> str:
    """Return the name of a fit in the cache: a hash of everything it depends on."""
    rows = [(*row.constants.items(), row.outcome.value, row.score, row.memory_bytes) for row in record.rows]
    text = repr((VERSION, name, family, record.program.source, rows))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
