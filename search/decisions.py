"""The decisions of a search as pure functions, shared by `search.loop` and `search.simulate`."""

from __future__ import annotations

import random
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Acceptance, Measure, Verdict
from search.settings import THE_SAME, Settings
from target.evaluation import Outcome


@dataclass(frozen=True, slots=True)
class Refusal:
    """A new program that is not trained.

    Attributes:
        reason: Why it is not trained.
        again: Trainings, (trial number, seed), that an earlier trial gets because its program was proposed again.
    """

    reason: str
    again: tuple[tuple[int, int], ...] = ()


def propose(settings: Settings, population: Population) -> Proposal:
    """Return the next proposal; its randomness depends on the seed of the search and the number of the trial only.

    Raises:
        NothingToProposeError: The strategy has nothing left.
    """
    return settings.strategy.ask(population, random.Random(f"proposal {settings.seed} {len(population.trials)}"))


def refuse(mutation: Mutation, population: Population, acceptance: Acceptance) -> Refusal | None:
    """Return why a new program is not trained (it is not text, or was tried before); None if it is trained."""
    if not mutation.program.is_text:
        return Refusal("the program is not valid UTF-8 text: it has a lone surrogate")
    twin = population.find(mutation.program.id)
    if twin is None:
        left_out = population.spare(mutation.program.id)
        if left_out is None:
            return None
        return Refusal(f"{THE_SAME} one that was made for trial {left_out.number} and left out")
    again = acceptance.repeat(twin, population) if twin.scored else None
    return Refusal(f"{THE_SAME} trial {twin.number}", again.trainings if again else ())


def next_step(trial: Trial, population: Population, acceptance: Acceptance) -> Measure | Verdict:
    """Return what a built, undecided trial needs next.

    A trial with a failed training has failed, because acceptance rules compare only scores.
    """
    failure = next((run for run in trial.evaluations if run.outcome is not Outcome.OK), None)
    if failure:
        return Verdict(Status(failure.outcome.value), failure.detail)
    return acceptance.step(trial, population)
