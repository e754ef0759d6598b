"""Makes several mutations of one proposal, and gives the most promising one: the others cost no training."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from operators.base import (
    NOTHING_NEW,
    ExhaustedError,
    MakeOperator,
    MutationError,
    NoModelError,
    Operator,
    ProviderError,
    Resources,
    equip,
    parent_program,
)
from operators.critique import Critique, criticise
from operators.llm.dialogue import read_direction
from operators.population import Population
from operators.ranking import Weights, most_promising_first
from operators.trial import Attempt, Mutation, Proposal
from target.in_thread import run_in_thread
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
        critique: How many of the most promising ones the language model puts in order, by one more request; 0 for none.
        resources: What the search provides.

    Raises:
        NoModelError: If `critique` needs a model and there is none.
        ValueError: If there is no such operator, `n` is below 1, or another number is negative.

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
        critique: int,
        resources: Resources,
    ) -> None:
        if of not in operators:
            raise ValueError(f"of must be one of {', '.join(operators)}, got {of!r}")
        if n < 1 or memory < 1 or min(prediction, novelty, critique) < 0:
            raise ValueError(
                "n and memory must be at least 1, prediction, novelty and critique at least 0, "
                f"got {n}, {memory}, {prediction}, {novelty} and {critique}"
            )
        if critique and resources.model is None:
            raise NoModelError("operator.critique needs a language model: set llm.model, or critique=0")
        self._operator = equip(operators[of], resources)
        self._n = n
        self._weights = Weights(prediction=prediction, novelty=novelty)
        self._memory = memory
        self._critics = critique
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
        critique = self._critique([fresh[place] for place in order[: self._critics]], proposal, population)
        order[: self._critics] = [order[place] for place in critique.order]
        preflight = self._resources.preflight
        chosen = next((place for place in order if not preflight(programs[place], population)), order[0])
        return replace(
            fresh[chosen],
            operator=f"{self.name}/{fresh[chosen].operator}",
            cost_usd=spent.cost_usd + critique.cost_usd,
            exchanges=(*spent.exchanges, *critique.exchanges),
            prompt=spent.prompt,
            spares=tuple(programs[place] for place in order if place != chosen),
        )

    def _critique(self, changes: list[Mutation], proposal: Proposal, population: Population) -> Critique:
        """Let the model put the most promising changes in order, if it is asked to and there is a choice."""
        model = self._resources.model if self._critics and len(changes) > 1 else None
        if model is None:
            return Critique(order=list(range(len(changes))))
        number = proposal.parents[0]
        return criticise(
            changes,
            parent_program(proposal, population),
            number=number,
            score=population.scores.get(number),
            contract=self._resources.contract,
            direction=read_direction(self._resources),
            model=model,
            seed=random.Random(f"critique {proposal.seed}").getrandbits(32),
            model_name=proposal.model,
        )

    def _samples(self, proposal: Proposal, population: Population) -> list[_Sample]:
        """Return `n` mutations or failures, each with a seed of its own that depends on the proposal's."""
        seeds = (random.Random(f"sample {proposal.seed} {index}").getrandbits(32) for index in range(self._n))
        proposals = [replace(proposal, seed=seed) for seed in seeds]
        calls = [partial(_sample, self._operator, each, population) for each in proposals]
        if self._resources.model is None:
            found = [call() for call in calls]
        else:
            futures = [run_in_thread(call, expected=(), name="sample") for call in calls]
            found = [future.result() for future in futures]
        if outage := next((answer for answer in found if isinstance(answer, ProviderError)), None):
            raise outage
        return [answer for answer in found if isinstance(answer, _Sample)]


def _sample(operator: Operator, proposal: Proposal, population: Population) -> _Sample | ProviderError:
    try:
        return operator.mutate(proposal, population)
    except (MutationError, ProviderError) as error:
        return error


def _fresh(samples: list[_Sample], population: Population) -> list[Mutation]:
    """Return the mutations whose programs are text and new to the search, each program once."""
    made: dict[str, Mutation] = {}
    for each in samples:
        if isinstance(each, Mutation) and each.program.is_text and not _known(each.program, population):
            made.setdefault(each.program.id, each)
    return list(made.values())


def _known(program: Program, population: Population) -> bool:
    return population.find(program.id) is not None or population.spare(program.id) is not None
