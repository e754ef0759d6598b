"""With several language models, a proposal also says which of them is asked."""

from __future__ import annotations

import random
from dataclasses import replace

from operators.chat import MODEL
from operators.population import Population
from operators.selection import Choose
from operators.trial import Proposal
from search.strategies.base import Strategy


class WithModelChoice:
    """Adds the choice of a model to the proposals of a strategy.

    The choice is made and recorded with the proposal, so a search that is resumed asks the same model again, and the
    next choice can be made from what the models are known to be worth.

    Args:
        strategy: Decides about everything else.
        choose: Chooses the model.
    """

    def __init__(self, strategy: Strategy, choose: Choose) -> None:
        self._strategy = strategy
        self._choose = choose

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the strategy's proposal with the label of a model."""
        proposal = self._strategy.ask(population, rng)
        return replace(proposal, labels={**proposal.labels, MODEL: self._choose(population, proposal.seed)})
