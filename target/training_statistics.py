"""What a training was like beside its loss: steps, time by part, sizes of weights, gradients and updates.

`prepare` measures it in the candidate's process, so none of it is trusted: it is for people and for prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

MOST_GROUPS: Final = 40
MOST_SCALARS: Final = 64
_NAME_CHARACTERS: Final = 80
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatistics:
    """Parameters with the same name but for the numbers in it, at one step in the middle of the training.

    Attributes:
        n_values: How many values they have.
        weight_rms: Root mean square of the weights.
        gradient_rms: Root mean square of their gradients.
        update_rms: Root mean square of the change that the step made.
    """

    n_values: int
    weight_rms: float
    gradient_rms: float
    update_rms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatistics:
    """What `prepare` measured in one training. Times are of the clock of the target; not trusted.

    Attributes:
        steps: Steps of the optimiser that took most of them.
        first_step_seconds: Start of the process to the end of the first step: imports, building, compiling.
        last_step_seconds: Start of the process to the end of the last step.
        batch_seconds: Time in which batches were drawn.
        optimizer_seconds: Time in the steps of optimisers; None on a GPU, which works on after a step has returned.
        groups: Sizes by group of parameters.
        scalars: Final values of parameters with a handful of them, such as learned gates, by name.
    """

    steps: int
    first_step_seconds: float
    last_step_seconds: float
    batch_seconds: float
    optimizer_seconds: float | None
    groups: Mapping[str, GroupStatistics] = field(default_factory=dict)
    scalars: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types, in the form of `from_json`."""
        groups = {name: list(asdict(group).values()) for name, group in self.groups.items()}
        return {**asdict(self), "groups": groups, "scalars": {name: list(each) for name, each in self.scalars.items()}}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild it. The first groups and scalars count, with a few significant digits.

        Raises:
            ValueError: It has another form, or a number is not finite.
        """
        try:
            seconds = record["optimizer_seconds"]
            return cls(
                steps=int(record["steps"]),
                first_step_seconds=_number(record["first_step_seconds"]),
                last_step_seconds=_number(record["last_step_seconds"]),
                batch_seconds=_number(record["batch_seconds"]),
                optimizer_seconds=None if seconds is None else _number(seconds),
                groups={
                    _name(name): GroupStatistics(
                        n_values=int(n_values),
                        weight_rms=_number(weight),
                        gradient_rms=_number(gradient),
                        update_rms=_number(update),
                    )
                    for name, (n_values, weight, gradient, update) in [*record["groups"].items()][:MOST_GROUPS]
                },
                scalars={
                    _name(name): tuple(_number(value) for value in values)
                    for name, values in [*record["scalars"].items()][:MOST_SCALARS]
                },
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not statistics of a training: {error!r}") from error


def _number(value: Any) -> float:
    number = float(f"{float(value):.{_DIGITS}g}")
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {value!r:.40}")
    return number


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > _NAME_CHARACTERS:
        raise ValueError(f"not the name of a parameter: {value!r:.100}")
    return value
