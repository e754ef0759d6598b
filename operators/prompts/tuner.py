"""The tuner's state as sentences for a prompt: important constants, their best values, and expected failures.

Language models do not keep track of an optimisation themselves, but use its state if it is shown to them (Centaur,
https://arxiv.org/abs/2603.24647).
"""

from __future__ import annotations

from typing import Final

from operators.experience import gather
from operators.population import Population
from operators.trial import Trial
from operators.tune import Model, home
from target.program.constants import Value
from target.program.space import encode

_FEWEST: Final = 6  # scored trials; fewer would fit any model
_MEMORY: Final = 120
_POINTS: Final = 15  # along each axis


def constants_view(population: Population, parent: Trial) -> list[str]:
    """Return a sentence for each constant of a trial, the most important first; none before enough is known.

    Each constant is moved alone, from the parent's value. Its importance is the share of the predicted range of scores
    that it covers alone. Its best value is the one with the lowest prediction.
    """
    if parent.program is None:
        return []
    try:
        experience = gather(parent.program, population, limit=_MEMORY)
    except (SyntaxError, ValueError):
        return []
    if len(experience.scored) < _FEWEST or not experience.axes:
        return []
    model, found = Model(experience), list[tuple[float, str, Value, Value, Value | None]]()
    for axis, position in zip(experience.axes, home(experience), strict=True):
        steps = int(min(axis.levels, _POINTS))
        values = list(dict.fromkeys(axis.value(index / max(steps - 1, 1)) for index in range(steps)))
        rows = [{**experience.default, axis.name: value} for value in (*values, axis.value(float(position)))]
        features = encode(experience.axes, rows, experience.default)
        scores, fails = model.predicted(features)
        feasible = [index for index in range(len(values)) if fails[index] < 0.5] or list(range(len(values)))
        best = min(feasible, key=lambda index: scores[index])
        failing = next((values[index] for index in range(len(values)) if fails[index] >= 0.5), None)
        span = float(max(scores[index] for index in feasible) - scores[best])
        found.append((span, axis.name, experience.default[axis.name], values[best], failing))
    total = sum(row[0] for row in found) or 1.0
    return [
        f"{name} = {now!r}: {span / total:.0%} of what the constants explain, predicted best near {best!r}"
        + (f", likely to fail at {failing!r}" if failing is not None else "")
        for span, name, now, best, failing in sorted(found, key=lambda row: (-row[0], row[1]))
    ]
