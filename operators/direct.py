"""A language model changes the parent: it gives changed lines, the whole file, or new values of constants."""

from __future__ import annotations

from typing import Literal

from operators.base import Resources, parent_of
from operators.llm.dialogue import open_dialogue
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.prompt import Prompt
from operators.trial import Mutation, Proposal


class DirectOperator:
    """Asks for the next program in one form, and accepts it in any form that can be applied with certainty.

    Args:
        answer: `patch` asks for SEARCH/REPLACE blocks; `rewrite` asks for the whole file, which suits large changes and
            models that cannot quote; `suggest` asks for new values of constants, which suits small models and small
            changes. It is also the operator's name.
        prompt: The prompt.
        attempts: Largest number of requests per proposal; each says what was wrong with the last answer.
        resources: What the search provides.
    """

    def __init__(
        self, *, answer: Literal["patch", "rewrite", "suggest"], prompt: Prompt, attempts: int, resources: Resources
    ) -> None:
        self.name: str = answer
        self._dialogue = open_dialogue(answer, prompt, attempts, resources)

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent, changed."""
        base = parent_of(proposal, population)
        return self._dialogue.mutate(Briefing(answer=self.name, proposal=proposal, population=population, base=base))
