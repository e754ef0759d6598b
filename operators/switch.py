"""Replaces an expression by an alternative that the program itself lists: new structure without a language model.

The end of a line lists the alternatives: `return gelu(x)  # switch: gelu(x) | silu(x)`. The operator is a control for
operators that write code: it changes the skeleton, as they do, but has no knowledge.
"""

from __future__ import annotations

import random
import re
from typing import Final, NamedTuple

from operators.base import MutationError, parent_program
from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program import Program

_MARK: Final = "# switch: "
_HEAD: Final = re.compile(r"\s*(?:return|\w+ =) ")
_DRAWS: Final = 32  # to find a program that is not yet known


class _Switch(NamedTuple):
    """The parts of a line with a switch."""

    head: str
    now: str
    gap: str
    choices: str


def _switch(line: str) -> _Switch | None:
    code, mark, choices = line.partition(_MARK)
    head = _HEAD.match(code)
    if not (mark and choices and head):
        return None
    now = code[head.end() :].rstrip()
    gap = code[head.end() + len(now) :]
    return _Switch(head[0], now, gap, choices) if now and gap else None


class SwitchOperator:
    """Draws one line with a switch and changes it to another of its choices."""

    name = "switch"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent with one switch turned."""
        parent = parent_program(proposal, population)
        lines = parent.source.split("\n")
        switches = [(index, switch) for index, line in enumerate(lines) if (switch := _switch(line))]
        if not switches:
            raise MutationError("the parent has no switch to turn: a line must end with `# switch: this | that`")
        rng = random.Random(proposal.seed)
        for _ in range(_DRAWS):
            index, switch = rng.choice(switches)
            others = [each for each in map(str.strip, switch.choices.split("|")) if each != switch.now]
            if not others:
                continue
            chosen = rng.choice(others)
            turned = f"{switch.head}{chosen}{switch.gap}{_MARK}{switch.choices}"
            program = Program("\n".join([*lines[:index], turned, *lines[index + 1 :]]))
            if population.find(program.id) is None:
                return Mutation(program=program, operator=self.name, description=f"{switch.now} -> {chosen}")
        raise MutationError(f"{_DRAWS} draws gave no new program: the switches of the parent have been tried")
