"""Makes several mutations of one proposal, and gives the most promising one: the others cost no training."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from operators.base import (
    NOTHING_NEW,
    ExhaustedError,
    MakeOperator,
    MutationError,
    Operator,
    ProviderError,
    Resources,
    equip,
    parent_program,
)
from operators.population import Population
from operators.ranking import Weights, most_promising_first
from operators.trial import Attempt, Mutation, Proposal
from target.program import Program

_Sample = Mutation | MutationError
"""Both carry what was spent."""


class SampleOperator:
    """Asks another operator `n` times about the same parent, and filters the answers by what is cheap.

    Programs that were tried before, or were made before and left out, are removed, and so are twins. The rest are
    ranked by `operators.ranking`. The first in this order that passes the pre-flight is the mutation. The others are
    kept with the trial as its `spares`, and are never proposed again.

    A language model is asked side by side, within `llm.concurrency`. What all samples cost is the cost of the trial.

    Args:
        of: Name of the operator that makes the samples.
        n: Samples of each proposal.
        operators: The operators by name.
        prediction: Weight of the tuner's prediction.
        novelty: Weight of the distance to what was tried.
        memory: Largest number of trials that the prediction uses.
        resources: What the search provides.

    Raises:
        ValueError: If there is no such operator, `n` is below 1, or a weight is negative.

    Source: many samples, filtered before they are evaluated, as in AlphaCode, Li et al. 2022,
    https://arxiv.org/abs/2203.07814; the choice by a surrogate is pre-selection, Jin 2011, Surrogate-assisted
    evolutionary computation.
    """

    name = "sample"

    def __init__(
        self,
        *,
        of: str,
        n: int,
        operators: Mapping[str, Operator | MakeOperator],
        prediction: float,
        novelty: float,
        memory: int,
        resources: Resources,
    ) -> None:
        if of not in operators:
            raise ValueError(f"of must be one of {', '.join(operators)}, got {of!r}")
        if n < 1 or memory < 1 or min(prediction, novelty) < 0:
            raise ValueError(
                "n and memory must be at least 1, prediction and novelty at least 0, "
                f"got {n}, {memory}, {prediction} and {novelty}"
            )
        self._operator = equip(operators[of], resources)
        self._n = n
        self._weights = Weights(prediction=prediction, novelty=novelty)
        self._memory = memory
        self._resources = resources

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the most promising of `n` mutations, with the cost of all."""
        parent = parent_program(proposal, population)
        samples = self._samples(proposal, population)
        attempts = [each.attempt if isinstance(each, MutationError) else each for each in samples]
        spent = Attempt(
            operator=f"{self.name}/{self._operator.name}",
            cost_usd=sum(each.cost_usd for each in attempts),
            exchanges=tuple(exchange for each in attempts for exchange in each.exchanges),
            prompt=next((each.prompt for each in attempts if each.prompt), ""),
        )
        fresh = _fresh(samples, population)
        if not fresh:
            failed = [each for each in samples if isinstance(each, MutationError)]
            last = str(failed[-1]).removeprefix(NOTHING_NEW) if failed else "all are programs that were made before"
            is_exhausted = not spent.exchanges and all(isinstance(each, ExhaustedError) for each in failed)
            kind = ExhaustedError if is_exhausted else MutationError
            raise kind(f"none of {self._n} samples is a new program; the last: {last}", spent)
        programs = [each.program for each in fresh]
        rng = random.Random(f"sample {proposal.seed}")
        order = most_promising_first(programs, parent, population, weights=self._weights, memory=self._memory, rng=rng)
        chosen = next((place for place in order if not self._resources.preflight(programs[place])), order[0])
        return replace(
            fresh[chosen],
            operator=f"{self.name}/{fresh[chosen].operator}",
            cost_usd=spent.cost_usd,
            exchanges=spent.exchanges,
            prompt=spent.prompt,
            spares=tuple(programs[place] for place in order if place != chosen),
        )

    def _samples(self, proposal: Proposal, population: Population) -> list[_Sample]:
        """Return `n` mutations or failures, each with a seed of its own that depends on the proposal's."""
        seeds = (random.Random(f"sample {proposal.seed} {index}").getrandbits(32) for index in range(self._n))
        proposals = [replace(proposal, seed=seed) for seed in seeds]
        found: list[_Sample | ProviderError | None] = [None] * self._n
        if self._resources.model is None:
            for index, each in enumerate(proposals):
                _sample(self._operator, each, population, found, index)
        else:
            calls = [partial(_sample, self._operator, each, population, found, at) for at, each in enumerate(proposals)]
            threads = [threading.Thread(target=call, name="sample", daemon=True) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if outage := next((answer for answer in found if isinstance(answer, ProviderError)), None):
            raise outage
        return [answer for answer in found if isinstance(answer, _Sample)]


def _sample(
    operator: Operator,
    proposal: Proposal,
    population: Population,
    found: list[_Sample | ProviderError | None],
    index: int,
) -> None:
    try:
        found[index] = operator.mutate(proposal, population)
    except (MutationError, ProviderError) as error:
        found[index] = error


def _fresh(samples: list[_Sample], population: Population) -> list[Mutation]:
    """Return the mutations whose programs are text and new to the search, each program once."""
    made: dict[str, Mutation] = {}
    for each in samples:
        if isinstance(each, Mutation) and each.program.is_text and not _known(each.program, population):
            made.setdefault(each.program.id, each)
    return list(made.values())


def _known(program: Program, population: Population) -> bool:
    return population.find(program.id) is not None or population.spare(program.id) is not None
