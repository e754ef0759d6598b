"""The language models of a search: live and recorded, or replayed from another search."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from operators.base import Operator, ignore
from operators.chat import ChatModel
from operators.llm import LanguageModel
from operators.llm.selection import Choose
from operators.population import Population
from operators.trial import Proposal
from search.budget import Budget
from search.errors import UserError
from search.models.cassette import Record, RecordingModel, ReplayedModel, ReplayedOperator, ReplayedStrategy
from search.runs.exchanges import ExchangeStore
from search.runs.rundir import RunDirectory
from search.strategies.base import Strategy, ask_again


@dataclass
class Models:
    """The models that the operators of a search can ask: live ones or a record, not both.

    Attributes:
        live: Models that are asked.
        record: A search whose replies are reused.
        tried_out: Whether live models get a short test request before the search begins.
        lent: Whether an operator has taken them, and so is going to ask them.
        say: Shows the user a line about a provider; it does nothing until the search runs.
    """

    live: LanguageModel | None = None
    record: Record | None = None
    tried_out: bool = True
    lent: bool = field(default=False, init=False)
    say: Callable[[str], None] = field(default_factory=lambda: ignore, init=False)

    @property
    def asked(self) -> bool:
        """Whether an operator is going to ask a model, or repeats what a model answered."""
        return self.lent and (self.live is not None or self.record is not None)

    def chat(self, run: RunDirectory) -> ChatModel | None:
        """Return the model that operators ask; None if there is none."""
        if self.record:
            return ReplayedModel(self.record)
        return RecordingModel(self.live, ExchangeStore(run.exchanges)) if self.live else None

    def lender(self, run: RunDirectory) -> Callable[[], ChatModel | None]:
        """Return a function that gives operators their model, and notes that one of them took it."""
        model = self.chat(run)

        def lend() -> ChatModel | None:
            self.lent = True
            return model

        return lend

    def try_out(self, pay: Callable[[float], None], *, prompt_tokens: int | None) -> None:
        """Send the models a short test request with the settings of the search, if its operators are going to ask them.

        A replay asks no provider, so there is nothing to try out, and these answers are not recorded for one.

        Args:
            pay: Is called with the price of each answer in USD.
            prompt_tokens: The longest possible prompt; None if unknown.

        Raises:
            ProviderError: A model refuses the request, or cannot be reached.
        """
        if self.live and self.lent and self.tried_out:
            for reply in self.live.first_replies(prompt_tokens):
                pay(reply.cost_usd)

    def strategy(self, strategy: Strategy) -> Strategy:
        """Return a strategy that also chooses the model, or one that repeats the record."""
        if self.record:
            return ReplayedStrategy(self.record)
        return WithModelChoice(strategy, self.live.choose) if self.live and self.live.choose else strategy

    def operator(self, operator: Operator) -> Operator:
        """Return an operator that, in a replay, must make the recorded programs."""
        return ReplayedOperator(operator, self.record) if self.record else operator

    def check(self, budget: Budget) -> None:
        """Refuse a budget in USD that cannot be kept.

        Raises:
            UserError: If there is one, and the price of a model is unknown.
        """
        if budget.usd is None or not self.live:
            return
        if unknown := self.live.without_price():
            raise UserError(
                f"budget.usd={budget.usd:g} cannot be kept: the price of {' and '.join(unknown)} is unknown; set "
                "llm.price={input: USD, output: USD} per million tokens (0 for your own server), or remove budget.usd"
            )

    def wait_by(self, sleep: Callable[[float], None]) -> None:
        """Have live models wait for their providers by a function of a number of seconds."""
        if self.live:
            self.live.sleep = sleep

    def tell(self, say: Callable[[str], None]) -> None:
        """Report problems with providers, also with those of agents, to the user."""
        self.say = say
        if self.live:
            self.live.tell = say


class WithModelChoice:
    """Adds the choice of a model to the proposals of a strategy.

    The choice is made and recorded with the proposal, so a resumed search asks the same model again, and the
    next choice can use what is known about the models.

    Args:
        strategy: Decides everything else.
        choose: Chooses the model.
    """

    def __init__(self, strategy: Strategy, choose: Choose) -> None:
        self._strategy = strategy
        self._choose = choose

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the strategy's proposal with a model."""
        return self._with_model(self._strategy.ask(population, rng), population)

    def ask_again(self, known: Proposal, population: Population, rng: random.Random) -> Proposal:
        """Return the proposal that would be made now in place of a known one; see `AskedAgain`."""
        return self._with_model(ask_again(self._strategy, known, population, rng), population)

    def _with_model(self, proposal: Proposal, population: Population) -> Proposal:
        return replace(proposal, model=self._choose(population, proposal.seed))
