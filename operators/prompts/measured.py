"""What the training of a program was like, as lines for a prompt: speed, noise of the loss, learned values, step sizes.

A model that is shown only losses guesses what limits a training. These lines tell it: where the time went, which
parameters hardly move or move too far, and what the learned gates and scales became.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping
from typing import Final

from operators.trial import Trial
from target.training_statistics import GroupStatistics, TrainingStatistics

_LATE: Final = 2 / 3  # of the curve: there it is nearly straight
_MOST_LOSSES: Final = 20
_FEWEST_LOSSES: Final = 5
_LISTED: Final = 8  # values of a group of learned scalars


def measured(trial: Trial, lines: int) -> list[str]:
    """Return what was measured in the first training of a trial, the most informative first.

    Args:
        trial: The trial.
        lines: Largest number of lines.
    """
    run = trial.evaluations[0] if trial.evaluations else None
    if run is None:
        return []
    found = [*_times(run.statistics), *_losses(run.curve)] if run.statistics else _losses(run.curve)
    if run.statistics:
        scalars = _by_group(run.statistics.scalars)
        largest = sorted(run.statistics.groups.items(), key=lambda each: (-each[1].n_values, each[0]))
        found += [_scalars(name, values) for name, values in scalars.items()]
        found += [_group(name, group) for name, group in largest if name not in scalars]
    return found[:lines]


def _times(found: TrainingStatistics) -> list[str]:
    if found.steps < 2:
        return []
    rest = found.last_step_seconds - found.first_step_seconds
    parts = [f"{found.batch_seconds / found.last_step_seconds:.1%} of the time drew batches"]
    if found.optimizer_seconds is not None:
        parts.append(f"{found.optimizer_seconds / found.last_step_seconds:.1%} went into the steps of optimisers")
    return [
        f"{found.steps} optimiser steps: the first ended after {found.first_step_seconds:.1f} s, the others took "
        f"{1000 * rest / (found.steps - 1):.1f} ms each; {' and '.join(parts)}"
    ]


def _losses(curve: tuple[tuple[float, float], ...]) -> list[str]:
    """Return how far the last losses lie from a straight line through them."""
    last = [loss for _, loss in curve[math.ceil(_LATE * len(curve)) :][-_MOST_LOSSES:]]
    if len(last) < _FEWEST_LOSSES:
        return []
    line = statistics.linear_regression(range(len(last)), last)
    off = math.sqrt(statistics.fmean((loss - line.intercept - line.slope * at) ** 2 for at, loss in enumerate(last)))
    change = line.slope * (len(last) - 1)
    return [f"the last {len(last)} losses changed by {change:+.3f} nats, and scattered by {off:.3f} around a line"]


def _by_group(scalars: Mapping[str, tuple[float, ...]]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for name, values in scalars.items():
        groups.setdefault(re.sub(r"\d+", "*", name), []).extend(values)
    return groups


def _scalars(name: str, values: list[float]) -> str:
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return f"learned values of {name}: {', '.join(f'{value:.3g}' for value in values[:_LISTED])}{more}"


def _group(name: str, group: GroupStatistics) -> str:
    relative = f" ({group.update_rms / group.weight_rms:.2%} of them)" if group.weight_rms else ""
    return (
        f"{name}, {group.n_values:,} values: weights {group.weight_rms:.2g}, gradient {group.gradient_rms:.2g}, "
        f"update {group.update_rms:.2g}{relative}"
    )
