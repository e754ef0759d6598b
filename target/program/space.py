"""The constants of a program as points in a space, for models of the space and searches in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from target.program.constants import Constant, Value

_LARGEST: Final = 1e100  # larger values are sentinels
_REACH_FACTOR: Final = 16.0  # ratio of a bound to the value, for a positive number without bounds
_LINEAR: Final = ("linear", "unit", "share")
_CATEGORY: Final = math.sqrt(0.5)  # makes any two categories as far apart as the ends of a numeric axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One constant as a coordinate from 0 to 1.

    Attributes:
        name: Of the constant.
        kind: `log` and `linear` for numbers, `average` for numbers x whose scale is log(1 - x), `pow2` for doublings of
            the lowest value, `ordered` and `category` for a list of choices.
        low: Value at 0 (numbers only).
        high: Value at 1 (numbers only).
        integer: Whether values are integers.
        choices: Admissible values, in order (lists of choices only).
    """

    name: str
    kind: Literal["log", "linear", "average", "pow2", "ordered", "category"]
    low: float = 0.0
    high: float = 1.0
    integer: bool = False
    choices: tuple[Value, ...] = ()

    @property
    def levels(self) -> float:
        """How many values there are; infinite for real numbers."""
        if self.choices:
            return len(self.choices)
        if self.kind == "pow2":
            return round(math.log2(self.high / self.low)) + 1
        return math.floor(self.high) - math.ceil(self.low) + 1 if self.integer else math.inf

    def position(self, value: Value) -> float:
        """Return the position of a value, from 0 to 1; values beyond a bound have the position of the bound."""
        if self.choices:
            index = self.choices.index(value) if value in self.choices else 0
            return index / max(len(self.choices) - 1, 1)
        assert not isinstance(value, str)
        if self.kind == "linear":
            place = (value - self.low) / (self.high - self.low)
        elif self.kind == "average":
            place = math.log((1 - min(value, self.high)) / (1 - self.low)) / math.log((1 - self.high) / (1 - self.low))
        else:
            place = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return min(max(place, 0.0), 1.0)

    def value(self, position: float) -> Value:
        """Return the admissible value nearest to a position."""
        position = min(max(position, 0.0), 1.0)
        if self.choices:
            return self.choices[round(position * (len(self.choices) - 1))]
        if self.kind == "linear":
            number = self.low + position * (self.high - self.low)
        elif self.kind == "average":
            rest = (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** position
            return min(max(float(f"{1 - float(f'{rest:.3g}'):.12g}"), self.low), self.high)
        else:
            number = self.low * (self.high / self.low) ** position
        if self.kind == "pow2":
            return round(self.low * 2.0 ** round(math.log2(number / self.low)))
        if self.integer:
            return min(max(round(number), math.ceil(self.low)), math.floor(self.high))
        return min(max(float(f"{number:.4g}"), self.low), self.high)

    def features(self, value: Value) -> list[float]:
        """Return a value as inputs of a model: one number, or one indicator per category."""
        if self.kind == "category":
            return [_CATEGORY * (value == choice) for choice in self.choices]
        return [self.position(value)]

    def snap(self, positions: Any) -> Any:
        """Return the positions of the admissible values nearest to an array of positions."""
        import numpy as np

        if self.levels == math.inf:
            return np.clip(positions, 0.0, 1.0)
        if self.choices or self.kind == "pow2":
            return np.rint(np.clip(positions, 0.0, 1.0) * (self.levels - 1)) / max(self.levels - 1, 1)
        positions, span = np.clip(positions, 0.0, 1.0), self.high - self.low
        numbers = (
            self.low + positions * span if self.kind == "linear" else self.low * (self.high / self.low) ** positions
        )
        numbers = np.clip(np.rint(numbers), math.ceil(self.low), math.floor(self.high))
        if self.kind == "linear":
            return (numbers - self.low) / span
        return np.log(numbers / self.low) / math.log(self.high / self.low)


def axis_of(constant: Constant) -> Axis | None:
    """Return the axis of a constant; None if it cannot change."""
    value, knob = constant.value, constant.knob
    if knob.fixed:
        return None
    if knob.choices or isinstance(value, bool):
        choices = knob.choices or (False, True)
        choices = choices if value in choices else (*choices, value)
        numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
        if numbers:
            choices = tuple(sorted(choices, key=float))
        return Axis(name=constant.name, kind="ordered" if numbers else "category", choices=choices)
    if isinstance(value, str) or not abs(value) <= _LARGEST:
        return None
    low, high = _bounds(value, constant)
    integer = isinstance(value, int)
    if not low < high or (integer and math.ceil(low) >= math.floor(high)):
        return None
    if knob.scale == "average":
        return Axis(name=constant.name, kind="average", low=low, high=high) if low >= 0 and high < 1 else None
    kind: Literal["log", "linear", "pow2"] = "log" if low > 0 and knob.scale not in _LINEAR else "linear"
    if kind == "log" and integer and (knob.scale == "pow2" or (knob.scale is None and _is_power_of_two(value))):
        odd = int(value) // (int(value) & -int(value))  # 15 for 15 * 2**14: its power of two is what doubles
        low, high = odd * 2.0 ** math.ceil(math.log2(low / odd)), odd * 2.0 ** math.floor(math.log2(high / odd))
        if not low < high:
            return None
        kind = "pow2"
    return Axis(name=constant.name, kind=kind, low=low, high=high, integer=integer)


def axes_of(constants: Mapping[str, Constant]) -> tuple[Axis, ...]:
    """Return the axes of all constants that can change."""
    axes = (axis_of(constant) for constant in constants.values())
    return tuple(axis for axis in axes if axis is not None)


def encode(axes: Sequence[Axis], rows: Sequence[Mapping[str, Value]], default: Mapping[str, Value]) -> Any:
    """Return assignments of constants as an (N, D) array; values that a row lacks come from `default`."""
    import numpy as np

    width = sum(len(axis.features(default[axis.name])) for axis in axes)
    features = [
        [feature for axis in axes for feature in axis.features(row.get(axis.name, default[axis.name]))] for row in rows
    ]
    return np.array(features, dtype=np.float64).reshape(len(rows), width)


def encode_positions(axes: Sequence[Axis], positions: Any) -> Any:
    """Do the same as `encode` for an (N, A) array of admissible positions, one column per axis."""
    import numpy as np

    columns = []
    for index, axis in enumerate(axes):
        column = positions[:, index]
        if axis.kind == "category":
            level = np.rint(column * (len(axis.choices) - 1))
            columns += [_CATEGORY * (level == each) for each in range(len(axis.choices))]
        else:
            columns.append(column)
    return np.column_stack(columns)


def _bounds(value: float, constant: Constant) -> tuple[float, float]:
    """Return the range of a constant; bounds that its knob leaves open follow from the program's own value."""
    low, high, scale = constant.knob.low, constant.knob.high, constant.knob.scale
    if scale == "average" and high is None:
        bounds = (1 - (1 - value) * factor for factor in (_REACH_FACTOR, 1 / _REACH_FACTOR))
        lowest, highest = (float(f"{bound:.12g}") for bound in bounds)
        return max(low or 0.0, lowest), highest
    if scale == "unit" and high is None:
        width = max(value // 2, 2)
        return max(value - width, low or 1.0), value + width
    if value > 0 and scale not in _LINEAR:
        floor = 1.0 if isinstance(value, int) else 0.0
        low = max(value / _REACH_FACTOR, floor) if low is None else low
        high = value * _REACH_FACTOR if high is None else high
    width = abs(value) or 1.0
    low = low if low is not None else value - width if value else 0.0  # zero does not become negative
    high = value + width if high is None else high
    return min(low, value), max(high, value)


def _is_power_of_two(value: float) -> bool:
    return isinstance(value, int) and value >= 2 and value & (value - 1) == 0
