"""Tunes the constants of the parent's skeleton with a model of its past trials: no language model, no key.

This is Bayesian optimisation around the incumbent. One Gaussian process predicts scores, a second one failures. Many
local variations are drawn, each with a few constants moved. Of those that are not likely to fail, the one with the
largest expected improvement per second is proposed. Half of the variations begin at other good programs. Points about
which one more training would tell little count for little. Otherwise a search would creep into the nearest optimum, by
improvements smaller than the noise.

A choice, such as True for False, has no small steps, and far from all known points the model expects the average score,
which is much worse than the best. So small moves of several numbers promise more, and switches would hardly ever be
turned. A share of the proposals therefore tries a choice that no trial has had.

Sources: expected improvement, Jones et al. 1998, augmented for noise by the factor of Huang et al. 2006 (Global
optimization of stochastic black-box systems via sequential kriging meta-models); candidates that move a random few
coordinates of the incumbent, Regis and Shoemaker 2013 and TuRBO (Eriksson et al. 2019,
https://arxiv.org/abs/1910.01739, appendix A); several good starting points, SMAC (Hutter et al. 2011); feasibility as
a factor, Gardner et al. 2014; pending trials at their predicted values, Ginsbourger et al. 2010; priors of lengths,
Hvarfner et al. 2024, https://arxiv.org/abs/2402.02229.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from operators.base import ExhaustedError, parent_program
from operators.constants import describe_changes, readable_constants
from operators.experience import Experience, gather
from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program.constants import Value
from target.program.space import encode, encode_positions
from target.regression.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from target.regression.gaussian import Floats, GaussianProcess

_PRIOR_LENGTH: Final = 0.7  # of a unit axis
_FIT_STEPS: Final = 15
_MOVED: Final = (1.0, 6.0)  # average number of axes that a candidate moves, from and to
_STEPS: Final = (0.04, 0.5)  # sd of a move, in units of the range, from and to
_WIDE_STEPS: Final = (0.2, 1.0)  # the same for a proposal of a search that is stuck
_ELSEWHERE: Final = 0.5  # share of candidates that begin at another good program
_GOOD: Final = 0.25  # share of the scored programs that are good
_LIKELY: Final = 0.8  # failure probability above which a candidate comes after all others
_TRIES: Final = 64  # best candidates to check for a new program


class TuneOperator:
    """Moves constants of the first parent to where the largest improvement is expected.

    Args:
        candidates: Number of variations to choose from.
        memory: Largest number of trials to fit the model to.
        untried: Share of the proposals that try a choice that no trial has had.

    Raises:
        ValueError: If an argument is out of range.
    """

    name = "tune"
    needs_python = True

    def __init__(self, *, candidates: int, memory: int, untried: float) -> None:
        if candidates < 1 or memory < 4 or not 0 <= untried <= 1:
            raise ValueError(
                "candidates must be at least 1, memory at least 4 and untried from 0 to 1, "
                f"got {candidates}, {memory} and {untried}"
            )
        self._candidates = candidates
        self._memory = memory
        self._untried = untried

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent with some of its constants moved."""
        import numpy as np

        parent = parent_program(proposal, population)
        with readable_constants():
            experience = gather(parent, population, limit=self._memory)
        if not experience.axes:
            raise ExhaustedError("the parent has no constant to move: it needs UPPER_CASE literals at its top level")
        rng = np.random.default_rng(proposal.seed)
        steps = _WIDE_STEPS if proposal.stuck else _STEPS
        candidates = draw_candidates(experience, self._candidates, rng, steps)
        untried = untried_choices(experience)
        with one_thread():
            model = Model(experience)
            ordered = candidates[model.order(encode_positions(experience.axes, candidates))[:_TRIES]]
            if len(untried) and rng.random() < self._untried:
                untried = rng.permutation(untried)  # decides between those of which the model expects the same
                ordered = np.vstack([untried[model.order(encode_positions(experience.axes, untried))], ordered])
        for positions in ordered:
            changes = _changes(experience, positions)
            program = parent.with_constants(changes)
            if changes and population.find(program.id) is None:
                description = describe_changes(parent.constants, changes)
                return Mutation(program=program, operator=self.name, description=description)
        raise ExhaustedError(f"the {_TRIES} best of {len(candidates)} variations are all known programs")


def draw_candidates(experience: Experience, count: int, rng: Any, steps: tuple[float, float] = _STEPS) -> Floats:
    """Return (count, A) positions: good programs with a few constants moved, by small and large steps.

    Half of them begin at the parent.
    """
    import numpy as np

    axes = experience.axes
    start = _starts(experience, count, rng)
    n_axes = len(axes)
    moved = rng.random((count, n_axes)) < rng.uniform(*_MOVED, (count, 1)) / n_axes
    moved[np.arange(count), rng.integers(n_axes, size=count)] = True
    step = np.exp(rng.uniform(*np.log(steps), (count, 1)))
    length = step * rng.standard_normal((count, n_axes))
    gap = np.array([0.0 if axis.levels == math.inf else 1 / max(axis.levels - 1, 1) for axis in axes])
    length = np.copysign(np.maximum(np.abs(length), gap), length)
    reached = start + length
    reached = np.where((reached < 0) | (reached > 1), start - length, reached)  # they must not pile up at the bound
    category = np.array([axis.kind == "category" for axis in axes])
    reached = np.where(category, rng.random((count, n_axes)), reached)
    snapped = np.column_stack([axis.snap(reached[:, index]) for index, axis in enumerate(axes)])
    return np.where(moved, snapped, start)


def untried_choices(experience: Experience) -> Floats:
    """Return (C, A) positions: the parent with one choice that none of the trials has had, each such choice once."""
    import numpy as np

    here, found = home(experience), []
    for index, axis in enumerate(experience.axes):
        had = {experience.default[axis.name], *(each.constants.get(axis.name) for each in experience.seen)}
        for value in axis.choices:
            if value not in had:
                found.append(here.copy())
                found[-1][index] = axis.position(value)
    return np.array(found).reshape(len(found), len(here))


def _starts(experience: Experience, count: int, rng: Any) -> Floats:
    """Return (count, A) positions: of the parent, and of the best programs of its skeleton."""
    import numpy as np

    here = home(experience)
    scored = sorted((each.score, number) for number, each in enumerate(experience.scored) if not each.foreign)
    good = [experience.scored[number].constants for _, number in scored[: math.ceil(_GOOD * len(scored))]]
    if not good:
        return np.tile(here, (count, 1))
    there = np.array([_positions(experience, constants) for constants in good])
    return np.where(rng.random((count, 1)) < _ELSEWHERE, there[rng.integers(len(there), size=count)], here)


def home(experience: Experience) -> Floats:
    """Return the positions of the parent, (A,)."""
    return _positions(experience, experience.default)


def _positions(experience: Experience, constants: Mapping[str, Value]) -> Floats:
    import numpy as np

    return np.array([axis.position(constants[axis.name]) for axis in experience.axes])


def _changes(experience: Experience, positions: Floats) -> dict[str, Value]:
    """Return the constants that differ from the parent's."""
    found = {}
    for axis, old, new in zip(experience.axes, home(experience), positions, strict=True):
        value = axis.value(float(new))
        if new != old and value != experience.default[axis.name]:
            found[axis.name] = value
    return found


class Model:
    """Predicts results of constants from past trials.

    Args:
        experience: The past trials.
    """

    def __init__(self, experience: Experience) -> None:
        import numpy as np

        self._experience = experience
        scored = experience.scored
        self._score: GaussianProcess | None = None
        if len(scored) >= 2:
            inputs = self._encode([each.constants for each in scored], [each.foreign for each in scored])
            self._score = _fit(inputs, _flattened(np.array([each.score for each in scored])))
        told = [each for each in experience.seen if each.failed is not None]
        self._fail: GaussianProcess | None = None
        if any(each.failed for each in told) and len(told) >= 3:
            inputs = self._encode([each.constants for each in told], [False] * len(told))
            self._fail = _fit(inputs, np.array([float(bool(each.failed)) for each in told]))
        pending = [each for each in experience.seen if each.failed is None]
        if pending and self._score:
            self._believe(self._encode([each.constants for each in pending], [each.foreign for each in pending]))

    def order(self, features: Floats) -> NDArray[Any]:
        """Return the indices of encoded candidates, (M,), by expected improvement per second, the largest first.

        Candidates that are likely to fail come last. Failures take so little time that a search with nothing else to
        gain would otherwise spend half of its trainings on them. But the risk is sometimes right: the best point may be
        next to the failures.
        """
        import numpy as np

        points = np.column_stack([features, np.zeros(len(features))])  # none of them is foreign
        if self._score is None:
            return np.arange(len(points))  # nothing is known: all candidates are equally good
        fails = self.fail_probability(points)
        scored_seconds, failed_seconds = self._experience.seconds
        seconds = (1 - fails) * (scored_seconds or 1.0) + fails * failed_seconds
        worth = self._improvement(points) * (1 - fails) / np.maximum(seconds, 1e-9)
        return np.lexsort((-worth, fails > _LIKELY))

    def _improvement(self, points: Floats) -> Floats:
        """Return the augmented expected improvement of a training that does not fail."""
        import numpy as np
        from scipy.special import ndtr

        assert self._score is not None
        own = self._score.inputs[self._score.inputs[:, -1] == 0]
        known = own if len(own) else self._score.inputs
        best = self._score.mean(known).min()
        mean, sd = self._score.predict(points)
        noise_sd = self._score.noise_sd
        z = (best - mean) / sd
        gain = sd * (z * ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
        augmented: Floats = gain * (1 - noise_sd / np.sqrt(sd**2 + noise_sd**2))
        return augmented

    def predicted(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the expected score, on the model's internal scale, and the failure probability of candidates."""
        import numpy as np

        points = np.column_stack([features, np.zeros(len(features))])
        scores = np.zeros(len(points)) if self._score is None else self._score.mean(points)
        return scores, self.fail_probability(points)

    def fail_probability(self, points: Floats) -> Floats:
        """Return the probability that a training at encoded points fails."""
        import numpy as np

        if self._fail is None:
            return np.zeros(len(points))
        found: Floats = np.clip(self._fail.mean(points), 0.0, 0.999)
        return found

    def _encode(self, rows: list[Any], foreign: list[bool]) -> Floats:
        import numpy as np

        points: Floats = encode(self._experience.axes, rows, self._experience.default)
        return np.column_stack([points, np.array(foreign, dtype=np.float64)])

    def _believe(self, points: Floats) -> None:
        """Assume that pending trials have their predicted results, so that they are not proposed again."""
        import numpy as np

        from target.regression.gaussian import GaussianProcess

        assert self._score is not None
        old = self._score
        targets = np.append(old.targets, old.mean(points))
        self._score = GaussianProcess(np.vstack([old.inputs, points]), targets, old.lengths, old.nugget)


def _fit(inputs: Floats, targets: Floats) -> GaussianProcess:
    from target.regression.gaussian import GaussianProcess, fit_lengths

    spread = float(targets.std()) or 1.0
    lengths, nugget = fit_lengths(inputs, targets / spread, prior_length=_PRIOR_LENGTH, steps=_FIT_STEPS)
    return GaussianProcess(inputs, targets, lengths, nugget)


def _flattened(scores: Floats) -> Floats:
    """Return scores on a scale that is linear near the best one and logarithmic far above it.

    Otherwise a diverged training would dominate the model.
    """
    import numpy as np

    gaps = scores - scores.min()
    unit = max(float(np.median(gaps)), 1e-9)
    flat: Floats = np.arcsinh(gaps / unit)
    return flat
