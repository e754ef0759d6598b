"""Perturbs a few constants of the parent: without a model, a key or a delay."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from operators.base import ExhaustedError, MutationError, parent_program
from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program import Program
from target.program.constants import Constant, Value, parse_constants

_DRAWS: Final = 32  # to find a program that is not yet known
_REACH: Final = (0.5, 2.0)  # of a step, in units of `step`: smaller steps cannot be distinguished from noise
_WIDER: Final = 2.0  # times `step`, for a proposal of a search that is stuck
_LARGEST: Final = 1e100  # larger values are sentinels, and a step from one may overflow
_STEPS: Final = {-2: 1, -1: 3, 1: 3, 2: 1}  # doublings of a power of two, or steps of a count, with relative weights
_LEAST_SHARE: Final = 0.1  # lower limit for the scale of steps of a share near 0 or 1


class ConstantsOperator:
    """Draws one to `max_changes` constants of the parent and moves each by one random step.

    Positive floats move by a factor; powers of two by doublings; counts of layers and heads by one or two; other
    integers by a factor and at least 1; numbers on a linear scale by a part of their range; shares of a whole by a part
    of their value; decay rates x of averages by a factor of 1 - x; booleans flip; strings move among the choices of
    their knob comment. Up and down are equally likely. Bounds are respected. Without bounds, a number keeps its sign,
    and zero becomes positive.

    Args:
        max_changes: Largest number of constants that change at once.
        step: Size of a step, as the logarithm of the factor. Steps are drawn between half and twice this size, so 0.5
            moves a value by a factor between 1.3 and 2.7.

    Raises:
        ValueError: If an argument is out of range.
    """

    name = "constants"
    needs_python = True

    def __init__(self, *, max_changes: int, step: float) -> None:
        if max_changes < 1 or step <= 0:
            raise ValueError(f"max_changes must be at least 1 and step above 0, got {max_changes} and {step}")
        self._max_changes = max_changes
        self._step = step

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent with some of its constants moved."""
        parent = parent_program(proposal, population)
        rng = random.Random(proposal.seed)
        movable = _movable(parent)
        known: int | None = None
        for _ in range(_DRAWS):
            changes = self._draw(movable, rng, self._step * (_WIDER if proposal.stuck else 1))
            if not changes:
                continue
            program = parent.with_constants(changes)
            twin = population.find(program.id)
            if twin is None:
                return Mutation(
                    program=program, operator=self.name, description=describe_changes(parent.constants, changes)
                )
            known = twin.number if twin else known
        raise ExhaustedError(
            f"{_DRAWS} draws gave no new program, the last was that of trial {known}"
            if known is not None
            else "no constant of the parent can move within its bounds"
        )

    def _draw(self, movable: dict[str, Constant], rng: random.Random, step: float) -> dict[str, Value]:
        n_changes = min(rng.randint(1, self._max_changes), len(movable))
        moved = {name: perturb(movable[name], rng, step) for name in rng.sample(sorted(movable), n_changes)}
        return {name: value for name, value in moved.items() if value != movable[name].value}


def perturb(constant: Constant, rng: random.Random, step: float) -> Value:
    """Return another value for a constant, or the same value if its bounds leave no other one within reach.

    Args:
        constant: The constant to move.
        rng: The source of randomness.
        step: Size of a step, as the logarithm of the factor.
    """
    value, knob = constant.value, constant.knob
    if knob.choices or isinstance(value, bool):
        others = [choice for choice in knob.choices or (True, False) if choice != value]
        return rng.choice(others) if others else value
    if isinstance(value, str):
        return value
    for _ in range(2):  # draw again if a step ends at the bound where the value already is
        moved = (
            _move_int(value, constant, rng, step) if isinstance(value, int) else _move_float(value, constant, rng, step)
        )
        clipped = _clip(moved, constant)
        if clipped != value:
            return clipped
    return value


def read_constants(parent: Program) -> dict[str, Constant]:
    """Return the constants of a parent by name.

    Raises:
        ExhaustedError: It is not Python.
        MutationError: One of its knob comments cannot be read.
    """
    with readable_constants():
        return parse_constants(parent.source)


@contextmanager
def readable_constants() -> Iterator[None]:
    """Turn an error of reading constants into one of the operator.

    Raises:
        ExhaustedError: The program is not Python.
        MutationError: One of its knob comments cannot be read.
    """
    try:
        yield
    except SyntaxError as error:
        raise ExhaustedError(
            f"the constants of the parent cannot be read, since it is not Python: {error.msg} in line {error.lineno}"
        ) from error
    except ValueError as error:
        raise MutationError(f"the constants of the parent cannot be read: {error}") from error


def _movable(program: Program) -> dict[str, Constant]:
    movable = {
        name: constant
        for name, constant in read_constants(program).items()
        if not constant.knob.fixed and (constant.knob.choices or _is_number(constant.value))
    }
    if not movable:
        raise ExhaustedError("the parent has no constant to move: it needs UPPER_CASE literals at its top level")
    return movable


def _is_number(value: Value) -> bool:
    return not isinstance(value, str) and abs(value) <= _LARGEST


def _move_int(value: int, constant: Constant, rng: random.Random, step: float) -> int:
    scale = constant.knob.scale
    if scale == "unit":
        return _drawn(value, {value + ones: weight for ones, weight in _STEPS.items()}, constant, rng)
    if value > 0 and (scale == "pow2" or (scale is None and value >= 2 and value & (value - 1) == 0)):
        return _drawn(value, {value * 2.0**n: weight for n, weight in _STEPS.items()}, constant, rng)
    if value == 0 or scale == "linear":
        moved = round(value + _signed(step, rng) * _width(value, constant))
    else:
        moved = round(value * math.exp(_signed(step, rng)))
    if constant.knob.low is None:
        moved = int(_clip(moved, constant))
    return moved if moved != value else _drawn(value, {value - 1: 1, value + 1: 1}, constant, rng)


def _drawn(value: int, weights: Mapping[float, int], constant: Constant, rng: random.Random) -> int:
    """Draw one of several admissible integers by weights; return the value itself if none is admissible."""
    legal = {each: weight for each, weight in weights.items() if _clip(each, constant) == each}
    return int(rng.choices(list(legal), list(legal.values()))[0]) if legal else value


def _move_float(value: float, constant: Constant, rng: random.Random, step: float) -> float:
    scale = constant.knob.scale
    if scale == "average":
        rest = float(f"{(1 - value) * math.exp(_signed(step, rng)):.3g}")
        return float(f"{1 - rest:.12g}")  # 0.9999 has as many digits as 0.0001
    if scale == "share":
        moved = value + _signed(step, rng) * max(2 * value * (1 - value), _LEAST_SHARE)
    elif value > 0 and scale != "linear":
        moved = value * math.exp(_signed(step, rng))
    else:
        moved = value + _signed(step, rng) * _width(value, constant)
    if value == 0 and constant.knob.low is None:
        moved = abs(moved)
    return float(f"{moved:.4g}")  # digits beyond the fourth are noise for readers and for the search


def _signed(step: float, rng: random.Random) -> float:
    return rng.choice((-1, 1)) * step * rng.uniform(*_REACH)


def _width(value: float, constant: Constant) -> float:
    """Return the unit of length for the steps of an additive constant."""
    low, high = constant.knob.low, constant.knob.high
    if low is not None and high is not None:
        return (high - low) / 2
    return abs(value) or 1.0


def _clip(value: float, constant: Constant) -> float | int:
    low, high = _lowest(constant), constant.knob.high
    if not isinstance(constant.value, int):
        return min(max(value, -math.inf if low is None else low), math.inf if high is None else high)
    if low is not None and high is not None and math.ceil(low) > math.floor(high):
        return constant.value  # there is no integer between the bounds
    lower = value if low is None else max(value, math.ceil(low))
    return int(lower if high is None else min(lower, math.floor(high)))


def _lowest(constant: Constant) -> float | None:
    """Return the lower bound of a number; a number without a bound does not change its sign."""
    if constant.knob.low is not None or isinstance(constant.value, str) or constant.value < 0:
        return constant.knob.low
    return 1 if isinstance(constant.value, int) and constant.value else 0


def describe_changes(old: Mapping[str, Value], changes: Mapping[str, Value]) -> str:
    """Return changes of constants as one line."""
    return ", ".join(f"{name} {old[name]!r} -> {value!r}" for name, value in sorted(changes.items()))
