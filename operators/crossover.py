"""A language model combines two programs; the prompt says what each of them did well."""

from __future__ import annotations

import random

from operators.base import MakeOperator, MutationError, Operator, Resources, equip, parent_of
from operators.delegate import delegate
from operators.llm.dialogue import open_dialogue
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.history import ancestors, companions, parents_of
from operators.prompts.prompt import Prompt
from operators.trial import Mutation, Proposal, Trial


class CrossoverOperator:
    """Combines the first parent with the second, or with a trial that it chooses if the strategy names only one.

    It chooses among the possible companions (`operators/prompts/history.py`), sorted by score with the best first. The
    n-th has weight 1/n.
    A pair is degenerate, and therefore excluded, if one of the two descends from the other, if their programs are
    equal, or if they have been combined before: the result could not be new (GEAR's list).

    Args:
        prompt: The prompt.
        attempts: Largest number of requests per proposal; each one says what was wrong with the last answer.
        fallback: Operator to use if there is no other trial to combine the parent with, as at the start of a search.
        resources: What the search provides.
    """

    name = "crossover"

    def __init__(
        self, *, prompt: Prompt, attempts: int, fallback: Operator | MakeOperator, resources: Resources
    ) -> None:
        self._dialogue = open_dialogue(self.name, prompt, attempts, resources)
        self._fallback = equip(fallback, resources)

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent with the merits of another trial."""
        base = parent_of(proposal, population)
        if len(proposal.parents) > 1:
            second: Trial | None = population.trials[proposal.parents[1]]
            if second and (reason := degenerate(base, second, population)):
                raise MutationError(f"trials {base.number} and {second.number} cannot be combined: {reason}")
        else:
            second = _choose(base, proposal, population)
        if second is None:
            return delegate(self.name, self._fallback, proposal, population)
        briefing = Briefing(answer="patch", proposal=proposal, population=population, base=base, second=second)
        chosen = () if second.number in proposal.parents else (second.number,)
        return self._dialogue.mutate(briefing, extra_parents=chosen)


def degenerate(first: Trial, second: Trial, population: Population) -> str:
    """Return why combining two trials cannot give a new program; empty if it can."""
    if second.program is None or first.program is None:
        return "one of them has no program"
    if first.program.id == second.program.id:
        return "they have the same program"
    if second.number in ancestors(first.number, population) or first.number in ancestors(second.number, population):
        return "one descends from the other"
    pair = {first.number, second.number}
    known = next((trial for trial in population.trials if set(parents_of(trial)) == pair), None)
    return f"trial {known.number} has done it" if known else ""


def _choose(base: Trial, proposal: Proposal, population: Population) -> Trial | None:
    possible = [trial for trial in companions(proposal, population) if not degenerate(base, trial, population)]
    weights = [1 / rank for rank in range(1, len(possible) + 1)]
    rng = random.Random(f"crossover {proposal.seed}")
    return rng.choices(possible, weights)[0] if possible else None
