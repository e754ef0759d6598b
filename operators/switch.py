"""Turns one switch of the program, among the alternatives that the program itself lists: structure without a model.

A switch is a boolean constant, a constant whose knob lists names, `ACTIVATION = "relu2"  # knob: relu2 | gelu`, or a
line that ends with a list of expressions, `return gelu(x)  # switch: gelu(x) | silu(x)`. The operator is a control for
operators that write code: it changes structure, as they do, but has no knowledge.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from operators.base import ExhaustedError, parent_program
from operators.constants import describe_changes, read_constants
from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program import Program
from target.program.constants import Value
from target.program.space import axis_of

_MARK: Final = "# switch: "
_HEAD: Final = re.compile(r"\s*(?:return|\w+ =) ")
_DRAWS: Final = 32  # to find a program that is not yet known

_Turn = Callable[[], tuple[Program, str]]
"""Makes the program with a switch at one of its alternatives, and the description of that."""


class SwitchOperator:
    """Draws one switch of the first parent and turns it to another of its alternatives.

    Numbers in the list of a knob have an order: they are left to the operators of constants.
    """

    name = "switch"
    needs_python = True

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent with one switch turned."""
        switches = [turns for turns in _switches(parent_program(proposal, population)) if turns]
        if not switches:
            raise ExhaustedError(
                "the parent has no switch to turn: it needs a boolean constant, a constant with names to choose from "
                "(`KIND = 'a'  # knob: a | b`), or a line that ends with `# switch: this | that`"
            )
        rng = random.Random(proposal.seed)
        for _ in range(_DRAWS):
            program, description = rng.choice(rng.choice(switches))()
            if population.find(program.id) is None:
                return Mutation(program=program, operator=self.name, description=description)
        raise ExhaustedError(f"{_DRAWS} draws gave no new program: the switches of the parent have been tried")


class _Line(NamedTuple):
    """The parts of a line that lists alternatives."""

    head: str
    now: str
    gap: str
    choices: str


def _switches(parent: Program) -> Iterator[list[_Turn]]:
    """Yield the turns of each switch; a line that lists alternatives is one switch, whatever it assigns."""
    constants = read_constants(parent)
    lines = list(io.StringIO(parent.source, newline=""))  # as constants count them
    listed = {number: line for number, text in enumerate(lines, start=1) if (line := _line(text))}
    for number, line in listed.items():
        texts = map(str.strip, line.choices.split("|"))
        yield [partial(_turn_line, lines, number, line, each) for each in texts if each != line.now]
    for constant in constants.values():
        axis = axis_of(constant)
        if axis and axis.kind == "category" and constant.line not in listed:
            values = (each for each in axis.choices if each != constant.value)
            yield [partial(_turn_constant, parent, constant.name, each) for each in values]


def _line(text: str) -> _Line | None:
    code, mark, choices = text.partition(_MARK)
    head = _HEAD.match(code)
    if not (mark and choices and head):
        return None
    now = code[head.end() :].rstrip()
    gap = code[head.end() + len(now) :]
    return _Line(head[0], now, gap, choices) if now and gap else None


def _turn_line(lines: Sequence[str], number: int, line: _Line, chosen: str) -> tuple[Program, str]:
    turned = f"{line.head}{chosen}{line.gap}{_MARK}{line.choices}"
    return Program("".join([*lines[: number - 1], turned, *lines[number:]])), f"{line.now} -> {chosen}"


def _turn_constant(parent: Program, name: str, chosen: Value) -> tuple[Program, str]:
    changes = {name: chosen}
    return parent.with_constants(changes), describe_changes(parent.constants, changes)
