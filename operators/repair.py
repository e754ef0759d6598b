"""A language model repairs a program that failed; the prompt says how it ended."""

from __future__ import annotations

from typing import Final

from operators.base import MakeOperator, Operator, Resources, equip, parent_of
from operators.delegate import delegate
from operators.llm.dialogue import open_dialogue
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.history import parents_of
from operators.prompts.prompt import Prompt
from operators.trial import Mutation, Proposal, Status, Trial

REPAIRABLE: Final = frozenset({Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.REJECTED})


class RepairOperator:
    """Repairs a failed child of the parent; passes the parent to another operator if there is nothing to repair.

    Strategies name parents with a score. The operator repairs the latest failed child of the parent without a repair
    so far. If a repair fails too, the repaired program can be repaired again, up to `depth` repairs in a row (AIDE
    debugs to a depth of 3). Proposals that wait at the same time take one program each.

    Args:
        prompt: The prompt.
        attempts: Largest number of requests per proposal; each one says what was wrong with the last answer.
        depth: Largest number of repairs in a row.
        fallback: Operator to use if there is nothing to repair.
        resources: What the search provides.

    Raises:
        ValueError: If `depth` is below 1.
    """

    name = "repair"

    def __init__(
        self, *, prompt: Prompt, attempts: int, depth: int, fallback: Operator | MakeOperator, resources: Resources
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._dialogue = open_dialogue(self.name, prompt, attempts, resources)
        self._fallback = equip(fallback, resources)
        self._depth = depth

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return a failed program, repaired."""
        parent = parent_of(proposal, population)
        waiting = broken(parent, population, depth=self._depth)[_rivals(proposal, population) :]
        if not waiting:
            return delegate(self.name, self._fallback, proposal, population)
        briefing = Briefing(answer="patch", proposal=proposal, population=population, base=waiting[0])
        return self._dialogue.mutate(briefing, extra_parents=(waiting[0].number,))


def broken(parent: Trial, population: Population, *, depth: int) -> list[Trial]:
    """Return the failed descendants of a parent that may be repaired, the latest first.

    Args:
        parent: A trial with a score.
        population: All trials.
        depth: Largest number of repairs in a row.
    """
    tried = {number for trial in population.trials for number in trial.extra_parents}
    return [
        trial
        for trial in reversed(population.children(parent.number))
        if trial.status in REPAIRABLE
        and trial.program
        and trial.number not in tried
        and _repairs(trial, population) < depth
    ]


def _repairs(trial: Trial, population: Population) -> int:
    """Return how many repairs in a row led to a failed trial."""
    mended = [population.trials[number] for number in parents_of(trial)]
    failed = next((each for each in mended if each.status in REPAIRABLE), None)
    return 0 if failed is None else 1 + _repairs(failed, population)


def _rivals(proposal: Proposal, population: Population) -> int:
    """Return how many earlier proposals for the same parent are pending."""
    waiting = [trial for trial in population.pending if trial.program is None]
    own = next((trial.number for trial in waiting if trial.proposal == proposal), len(population.trials))
    return sum(trial.proposal.parents[:1] == proposal.parents[:1] for trial in waiting if trial.number < own)
