"""What a strategy is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from operators.population import Population
from operators.trial import Label, Proposal, Status, Trial

_COMPANIONS: Final = 16
_FEW: Final = 4  # trials that may be parents when a search is stuck


class Strategy(Protocol):
    """Decides what to mutate next: a pure function of the population.

    A strategy keeps no state between calls, so a search resumes by rebuilding the population from the ledger. It may
    also be a `Widening`.
    """

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the next proposal.

        Args:
            population: All trials so far; trial 0 is scored, others may be pending.
            rng: Randomness of this proposal alone, derived from the seed of the search and the proposal's number.

        Raises:
            NothingToProposeError: There is nothing to propose, for now or for good.
        """


@runtime_checkable
class Widening(Protocol):
    """A strategy that can look further when a search is stuck, by a knob of its own."""

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return the next proposal of a stuck search; arguments and errors as for `Strategy.ask`.

        It is asked in place of `ask` until the next keep. Its trials are marked: `proposal.stuck` is above 0.
        """


@runtime_checkable
class AskedAgain(Protocol):
    """A strategy around another one, which asks that one in different ways."""

    def ask_again(self, known: Proposal, population: Population, rng: random.Random) -> Proposal:
        """Return the proposal that would be made now, if the other strategy is asked as it was for a known one.

        Args:
            known: A proposal of this strategy, which waits.
            population: All trials, as they are now.
            rng: The randomness that the known proposal had.

        Raises:
            NothingToProposeError: There would be none.
        """


def ask_again(strategy: Strategy, known: Proposal, population: Population, rng: random.Random) -> Proposal:
    """Return what a strategy would propose now in place of a known proposal; see `AskedAgain.ask_again`."""
    if isinstance(strategy, AskedAgain):
        return strategy.ask_again(known, population, rng)
    return strategy.ask(population, rng)


class NothingToProposeError(Exception):
    """There is nothing to propose until more verdicts are in; with no work under way, the search ends."""


def verdicts(population: Population) -> list[Trial]:
    """Return the decided trials in the order of their verdicts, without the baseline and unmeasured trials."""
    return [trial for trial in population.decided if trial.number and trial.status is not Status.UNMEASURED]


def best_first(numbers: Iterable[int], population: Population) -> list[int]:
    """Sort numbers of scored trials by score, the best first; equal scores by number."""
    return sorted(numbers, key=lambda number: (population.scores[number], number))


def one_of_the_best(population: Population, rng: random.Random) -> int:
    """Return the number of a scored trial, drawn from the best few."""
    return rng.choice(population.ranked()[:_FEW]).number


def child_of(*parents: int, rng: random.Random, companions: Iterable[int] | None = None, **labels: Label) -> Proposal:
    """Return a proposal to mutate some trials, with a seed for the operator drawn from `rng`.

    Args:
        parents: The trials to mutate.
        rng: Randomness of this proposal.
        companions: Other trials that the operator may draw on (inspirations of a prompt, partners of a crossover), best
            first; only the first few are passed on. None: any trial of the search; empty: no companions.
        labels: Marks that the strategy reads later.
    """
    named = None
    if companions is not None:
        others = (number for number in companions if number not in parents)
        named = tuple(itertools.islice(others, _COMPANIONS))
    return Proposal(parents=parents, seed=rng.getrandbits(32), companions=named, labels=labels)
