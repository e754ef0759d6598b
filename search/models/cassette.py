"""Replies of language models, recorded with a search and replayed in another without a provider.

A replay makes the same proposals as the record, in order and with the same replies, whatever the scores are now. So
each program has the same parents as in the record, and must equal the recorded program. If an operator makes a
different program from the same replies, it has changed since, and the replay stops. An edit that the record made to a
new champion is made from the old one here too, and then replaced by the recorded result.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from operators.base import MutationError, Operator, ProviderRefusalError
from operators.chat import Exchange, Message, Reply
from operators.llm import LanguageModel, usable
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Status, Trial
from search.errors import UserError
from search.runs.exchanges import ExchangeStore
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.strategies.base import NothingToProposeError
from target.program import Program

_REPLAY: Final = "replay:"


class RecordingModel:
    """Asks a language model, and records each answer before it is used.

    What an interrupted session has already recorded is not asked again.

    Args:
        model: The model to ask.
        store: Where exchanges are recorded.
    """

    def __init__(self, model: LanguageModel, store: ExchangeStore) -> None:
        self._model = model
        self._store = store

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        """Return the answer to a conversation; see `ChatModel`."""
        kept = self._store.find(seed, attempt)
        if kept is None:
            reply = self._model.ask(messages, seed=seed, attempt=attempt, model=model)
            kept = self._store.keep(seed, attempt, Exchange(messages=tuple(messages), reply=reply))
        return usable(kept.reply, kept.messages)


@dataclass(frozen=True)
class Record:
    """A search to replay.

    Attributes:
        root: Its folder.
        population: Its trials.
    """

    root: Path
    population: Population

    def trial_of(self, proposal: Proposal) -> Trial:
        """Return the recorded trial of a proposal."""
        return next(trial for trial in self.population.trials if trial.number and trial.proposal.seed == proposal.seed)


class ReplayedModel:
    """Gives the replies of a record, at no cost.

    Args:
        record: The record.
    """

    def __init__(self, record: Record) -> None:
        self._root = record.root
        self._store = ExchangeStore(RunDirectory(record.root).exchanges)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        seed: int,
        attempt: int,
        model: str | None = None,  # noqa: ARG002  # the record says which model answered
    ) -> Reply:
        """Return the recorded answer; see `ChatModel`."""
        kept = self._store.find(seed, attempt)
        if kept is None:
            raise ProviderRefusalError(
                f"{self._root} has no reply number {attempt + 1} to the proposal with seed {seed}: "
                "the operator asks more often than when that search was recorded"
            )
        return usable(replace(kept.reply, cost_usd=0.0), messages)


class ReplayedStrategy:
    """Proposes the trials of the record, one after the other.

    Args:
        record: The record.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    def ask(self, population: Population, rng: random.Random) -> Proposal:  # noqa: ARG002  # nothing is left to chance
        """Return the next proposal of the record, as soon as its parents have got as far as in the record."""
        number = len(population.trials)
        recorded = self._record.population.trials
        if number >= len(recorded) or (recorded[number].mutation is None and recorded[number].decided is None):
            raise NothingToProposeError(f"the record in {self._record.root} ends after trial {number - 1}")
        proposal = recorded[number].proposal
        waiting = [trial.number for trial in population.pending if not trial.program]
        waiting += [parent for parent in proposal.parents if population.trials[parent].decided is None]
        if waiting:
            raise NothingToProposeError(f"trial {number} of the record waits for trial {waiting[0]}")
        return proposal


class ReplayedOperator:
    """Checks that an operator makes the recorded program from the recorded replies.

    Args:
        operator: The operator.
        record: The record.
    """

    def __init__(self, operator: Operator, record: Record) -> None:
        self._operator = operator
        self._record = record

    @property
    def name(self) -> str:
        """Name of the operator."""
        return self._operator.name

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the operator's program, which must equal the recorded one."""
        recorded = self._record.trial_of(proposal)
        # without a program perhaps only because another trial had it first; with one, it came too late for its parent
        if recorded.program is None or recorded.status is Status.NOT_BUILT:
            raise MutationError(recorded.detail, Attempt(exchanges=_free(recorded.exchanges)))
        made = recorded.original.program if recorded.original else recorded.program
        try:
            mutation = self._operator.mutate(recorded.as_proposed, population)
        except MutationError as error:
            raise ProviderRefusalError(f"{self._differs(recorded, made)} makes none: {error}") from error
        if mutation.program.id != made.id:
            raise ProviderRefusalError(f"{self._differs(recorded, made)} makes program {mutation.program.id}")
        if recorded.original is None or recorded.mutation is None:
            return mutation
        return replace(mutation, program=recorded.program, description=recorded.mutation.description)

    def _differs(self, recorded: Trial, made: Program) -> str:
        return (
            f"trial {recorded.number} of {self._record.root} has program {made.id}, but the operator "
            f"{self.name} with the present code, settings and scores"
        )


def open_record(cassette: str, run: RunDirectory) -> Record | None:
    """Return the search that `llm.cassette` says to replay; None for `record`.

    Args:
        cassette: `record` or `replay:FOLDER`.
        run: The new search.

    Raises:
        UserError: If it says something else, or there is no such record.
    """
    if cassette == "record":
        return None
    if not cassette.startswith(_REPLAY):
        raise UserError(f"llm.cassette must be record or replay:FOLDER, such as replay:outputs/mar8, got {cassette!r}")
    root = Path(cassette.removeprefix(_REPLAY)).expanduser()
    if root.resolve() == run.root.resolve():
        raise UserError(f"llm.cassette: {root} cannot be replayed into itself; choose another name")
    population = read_population(RunDirectory(root))
    seeds = [trial.proposal.seed for trial in population.trials[1:]]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{root} cannot be replayed: several of its proposals have one seed, and so one set of replies")
    return Record(root, population)


def _free(exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
    return tuple(replace(each, reply=replace(each.reply, cost_usd=0.0)) for each in exchanges)
