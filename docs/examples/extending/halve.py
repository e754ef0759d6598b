"""An operator: halves or doubles one constant of the parent."""

from __future__ import annotations

import random
from dataclasses import dataclass

from operators.base import ExhaustedError, parent_program
from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program.constants import parse_constants


@dataclass(frozen=True)
class Halve:
    """Halves or doubles one constant, within the bounds of its knob comment.

    Attributes:
        name: Is recorded with each trial.
    """

    name: str = "halve"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the parent with one constant changed; all randomness comes from the seed of the proposal."""
        parent = parent_program(proposal, population)
        moves = []
        for key, constant in parse_constants(parent.source).items():
            knob, value = constant.knob, constant.value
            if knob.fixed or knob.choices or isinstance(value, bool | str):
                continue
            for moved in (value // 2 if isinstance(value, int) else value / 2, value * 2):
                fits = (knob.low is None or moved >= knob.low) and (knob.high is None or moved <= knob.high)
                if fits and moved != value:
                    moves.append((key, value, moved))
        random.Random(proposal.seed).shuffle(moves)
        for key, value, moved in moves:
            program = parent.with_constants({key: moved})
            if population.find(program.id) is None:
                return Mutation(program=program, operator=self.name, description=f"{key} {value} -> {moved}")
        raise ExhaustedError("every halved or doubled constant was tried")
