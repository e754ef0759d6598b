"""What to train to see which steps of the best program's lineage survive at another size.

A step is measured by leaving it out: its edit is taken out of the best program, by a three-way merge. If later steps
changed the same lines, there is no such program. Then the program as it was right after the step is compared with the
one right before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from operators.trial import Trial
from search.best import program_of
from search.errors import UserError
from search.transfer.scale import Scale
from target.program import Program
from target.program.merge import MergeError, merge

How = Literal["without", "prefix", "left out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one step is measured.

    Attributes:
        trial: The trial that made it.
        how: `without`: the best program against the same without the step. `prefix`: the lineage up to the step against
            the lineage up to before it. `left out`: it is not measured.
        why: Why it is not `without`; empty if it is.
        less: The program without the step, at the new size; None if it is left out.
        more: The program with it.
    """

    trial: Trial
    how: How
    why: str = ""
    less: Program | None = None
    more: Program | None = None


def plan_steps(lineage: Sequence[Trial], scale: Scale) -> list[Plan]:
    """Return how each step of a lineage is measured.

    Args:
        lineage: From the seed program to the best one; each trial has a program.
        scale: The new size.
    """
    best = program_of(lineage[-1])
    pairs = itertools.pairwise(lineage)
    return [_plan(step, program_of(before), best, scale) for before, step in pairs]


def prefix(step: Trial, before: Program, scale: Scale, why: str) -> Plan:
    """Return the comparison of the lineage up to a step with that up to before it.

    Args:
        step: The step.
        before: The program that it changed.
        scale: The new size.
        why: Why the step cannot be left out of the best program.
    """
    try:
        less, more = scale.program(before), scale.program(program_of(step))
    except UserError as error:
        return Plan(trial=step, how="left out", why=str(error))
    return Plan(trial=step, how="prefix", why=why, less=less, more=more)


def _plan(step: Trial, before: Program, best: Program, scale: Scale) -> Plan:
    after = program_of(step)
    own = [name for name in scale.constants if before.constants.get(name) != after.constants.get(name)]
    if own:
        return Plan(trial=step, how="left out", why=f"it changes {', '.join(own)}, which --scale sets")
    try:
        less, more = scale.program(merge(after, best, before)), scale.program(best)
    except MergeError:
        return prefix(step, before, scale, "later steps build on it")
    except UserError as error:  # the constant came with this step
        return Plan(trial=step, how="left out", why=f"without it {error}")
    if less.id == more.id:
        return Plan(trial=step, how="left out", why="later steps took it back")
    return Plan(trial=step, how="without", less=less, more=more)
