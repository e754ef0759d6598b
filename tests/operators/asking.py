"""The least operator that asks a model: for tests of what lies between operators and providers."""

from __future__ import annotations

import re
from typing import Final

from operators.base import MutationError, Resources
from operators.chat import Exchange, Message
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal
from target.program import Program

ASKING: Final = (
    "operator._target_=tests.operators.asking.AskingOperator",
    "~operator.max_changes",
    "~operator.step",
    "+operator._partial_=true",
)
"""Overrides that make it the operator of a search."""
_BLOCK: Final = re.compile(r"<<<<<<< SEARCH\n(.*?)\n=======\n(.*?)\n>>>>>>> REPLACE", re.DOTALL)
_ATTEMPTS: Final = 3


class AskingOperator:
    """Asks for one SEARCH/REPLACE block, and again with what was wrong with it."""

    name = "asking"

    def __init__(self, *, resources: Resources) -> None:
        if resources.model is None:
            raise ValueError("the operator needs a language model: set llm.model")
        self._model = resources.model

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        parent = population.trials[proposal.parents[0]].program
        assert parent
        text = f"Parent {proposal.parents[0]}:\n\n```python\n{parent.source}```\n\nAnswer with <<<<<<< SEARCH blocks."
        messages, exchanges, problem = [Message(role="user", text=text)], list[Exchange](), ""
        for attempt in range(_ATTEMPTS):
            try:
                reply = self._model.complete(messages, seed=proposal.seed, attempt=attempt, model=proposal.model)
            except MutationError as error:
                exchanges += error.attempt.exchanges
                raise MutationError(str(error), _spent(exchanges)) from error
            exchanges.append(Exchange(messages=tuple(messages), reply=reply))
            block = _BLOCK.search(reply.text)
            if block and block[1] in parent.source:
                return Mutation(
                    program=Program(parent.source.replace(block[1], block[2], 1)),
                    operator=self.name,
                    description=reply.text.splitlines()[0],
                    cost_usd=_cost(exchanges),
                    exchanges=tuple(exchanges),
                )
            problem = "that text is not in the program" if block else "there is no block"
            messages += [Message(role="assistant", text=reply.text), Message(role="user", text=problem)]
        raise MutationError(problem, _spent(exchanges))


def _spent(exchanges: list[Exchange]) -> Attempt:
    return Attempt(cost_usd=_cost(exchanges), exchanges=tuple(exchanges))


def _cost(exchanges: list[Exchange]) -> float:
    return sum(exchange.reply.cost_usd for exchange in exchanges)
