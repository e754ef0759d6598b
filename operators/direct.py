"""A language model changes the parent: by the lines that change, the whole file, or new values of its constants."""

from __future__ import annotations

from typing import Literal

from operators.base import Resources, parent_of
from operators.llm.dialogue import open_dialogue
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.prompt import Prompt
from operators.trial import Mutation, Proposal


class DirectOperator:
    """Asks for the next program in one form, and takes it in any other that can be applied for certain.

    Args:
        answer: `patch` asks for SEARCH/REPLACE blocks; `rewrite` asks for the whole file, which suits large changes and
            models that cannot quote; `suggest` asks for new values of constants, which suits small models and small
            changes. It is the operator's name, too.
        prompt: How to ask.
        attempts: Requests a proposal, at most; each tells the model what was wrong with its last answer.
        resources: What the search lends.
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
