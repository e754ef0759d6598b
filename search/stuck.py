"""What a search does after many verdicts without a keep: it says so, looks further, or stops."""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from operators.population import Population
from operators.trial import STUCK, Proposal
from search.errors import UserError
from search.strategies.base import NothingToProposeError, Strategy, Widening


class Action(enum.StrEnum):
    """What a stuck search does, besides telling the user."""

    SAY = "say"
    WIDEN = "widen"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckSettings:
    """When a search is stuck, and what follows.

    Attributes:
        trials: Verdicts without a keep after which a search is stuck, whatever they were; None for never.
        action: `say` tells the user; `widen` also makes strategy and operators look further until the next keep; `stop`
            ends the search.

    Raises:
        UserError: If one of them does not fit.
    """

    trials: int | None = None
    action: str = Action.SAY

    def __post_init__(self) -> None:
        if self.trials is not None and self.trials < 1:
            raise UserError(f"stuck.trials must be at least 1, or null for never, got {self.trials}")
        if self.action not in [*Action]:
            raise UserError(f"stuck.action must be one of {', '.join(Action)}, got {self.action!r}")
        if self.trials is None and self.action != Action.SAY:
            raise UserError(
                f"stuck.action={self.action} needs stuck.trials, the number of verdicts without a keep, such as 40"
            )

    def text(self, verdicts: int) -> str:
        """Return what the user is told after that many verdicts without a keep."""
        follows = {
            Action.WIDEN: "; until the next one, proposals go further",
            Action.STOP: "; nothing new begins, unless a trial under way improves it",
        }
        return f"{verdicts} verdicts since the last keep{follows.get(Action(self.action), '')}"

    def remark(self, strategy: Strategy) -> str:
        """Return what the user should know before the search begins; empty if there is nothing to say."""
        if self.action != Action.WIDEN or isinstance(strategy, Widening):
            return ""
        return f"stuck.action=widen: {type(strategy).__name__} has nothing to widen; only operators will go further"

    def has_ended(self, population: Population) -> bool:
        """Return whether a search has ended by this, if nothing is under way."""
        return self.action == Action.STOP and self.trials is not None and stuck_for(population, self.trials) > 0

    def strategy(self, strategy: Strategy) -> Strategy:
        """Return a strategy that does what is to be done when the search is stuck."""
        if self.trials is None or self.action == Action.SAY:
            return strategy
        return Stopping(strategy, self.trials) if self.action == Action.STOP else Widened(strategy, self.trials)


NEVER_STUCK: Final = StuckSettings()


def is_stuck(stop_reason: str) -> bool:
    """Return whether a search ended because it was stuck."""
    return stop_reason.startswith(f"{STUCK}: ")


def beyond(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of `python -m search` with which a search goes on that ended because it was stuck."""
    others = (each for each in arguments if not each.startswith("stuck.action="))
    return (*others, f"stuck.action={Action.WIDEN.value}") if arguments else ()


def stuck_for(population: Population, trials: int) -> int:
    """Return the number of verdicts without a keep if a search is stuck; 0 if it is not."""
    without = len(population.since_keep)
    return without if without >= trials else 0


class _OnceStuck:
    """A strategy that does something else as long as a search is stuck.

    Args:
        strategy: The strategy of the search.
        trials: Verdicts without a keep after which it is stuck.
    """

    def __init__(self, strategy: Strategy, trials: int) -> None:
        self._strategy = strategy
        self._trials = trials

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the strategy's proposal, or what a stuck search does instead."""
        without = stuck_for(population, self._trials)
        return self._ask_stuck(without, population, rng) if without else self._strategy.ask(population, rng)

    def ask_again(self, known: Proposal, population: Population, rng: random.Random) -> Proposal:
        """Return the proposal that would be made now, wider if the known one was; see `AskedAgain`."""
        if known.stuck:
            return self._ask_stuck(known.stuck, population, rng)
        return self._strategy.ask(population, rng)

    def _ask_stuck(self, without: int, population: Population, rng: random.Random) -> Proposal:
        raise NotImplementedError


class Widened(_OnceStuck):
    """Looks further, by the strategy's own knob, as long as a search is stuck, and marks proposals for operators."""

    def _ask_stuck(self, without: int, population: Population, rng: random.Random) -> Proposal:
        strategy = self._strategy
        ask = strategy.ask_wider if isinstance(strategy, Widening) else strategy.ask
        proposal = ask(population, rng)
        return replace(proposal, labels={**proposal.labels, STUCK: without})


class Stopping(_OnceStuck):
    """Proposes nothing when a search is stuck: it ends, unless a trial that is under way is kept."""

    def _ask_stuck(self, without: int, population: Population, rng: random.Random) -> Proposal:  # noqa: ARG002
        raise NothingToProposeError(f"{STUCK}: {without} trials without a keep")
