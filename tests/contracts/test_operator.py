"""The contract of every operator in `conf/operator/*.yaml`."""

from __future__ import annotations

import copy
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import conf
from operators.base import MutationError, Operator
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from target.program import Program
from target.spec import SEED_PROGRAM
from tests.operators import agents
from tests.operators.composed import make_operator
from tests.operators.scripted_model import ScriptedModel, make_resources, obliging
from tests.search.builders import make_evaluation

SWITCH = "\n\ndef variant(x):\n    return x  # switch: x | -x | 2 * x | x * x\n"
AGENT = Path(agents.__file__)
OPERATORS = sorted((Path(conf.__file__).parent / "operator").glob("*.yaml"))


@pytest.fixture(scope="module", params=OPERATORS, ids=lambda path: path.stem)
def operator(request: pytest.FixtureRequest) -> Operator:
    resources = make_resources(ScriptedModel(obliging))
    return make_operator(request.param.stem, resources, f"agent.command='{sys.executable} {AGENT} edit'")


def population_of(source: str) -> Population:
    mutation = Mutation(program=Program(source), operator="seed", description="the seed program")
    proposal = Proposal(parents=(), seed=0)
    return Population(
        (
            Trial(
                number=0,
                proposal=proposal,
                mutation=mutation,
                evaluations=(make_evaluation(2.0),),
                status=Status.BASELINE,
                decided=0,
            ),
        )
    )


@pytest.fixture
def population() -> Population:
    return population_of(SEED_PROGRAM.read_text(encoding="utf-8") + SWITCH)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_it_makes_another_program_and_says_how(operator: Operator, population: Population, seed: int) -> None:
    mutation = operator.mutate(Proposal(parents=(0,), seed=seed), population)

    assert population.find(mutation.program.id) is None
    compile(mutation.program.source, "train.py", "exec")
    assert mutation.operator.split("/")[0] == operator.name, "the delegating operator comes first"
    assert mutation.description
    assert "\n" not in mutation.description
    assert mutation.cost_usd == pytest.approx(sum(exchange.reply.cost_usd for exchange in mutation.exchanges))
    assert bool(mutation.prompt) == bool(mutation.exchanges)


def test_an_interrupted_proposal_can_be_asked_for_again(operator: Operator, population: Population) -> None:
    proposal = Proposal(parents=(0,), seed=3)

    first, again = (operator.mutate(proposal, population) for _ in range(2))

    assert replace(first, exchanges=()) == replace(again, exchanges=())
    assert [exchange.messages for exchange in first.exchanges] == [exchange.messages for exchange in again.exchanges]


def test_different_seeds_give_different_programs(operator: Operator, population: Population) -> None:
    made = (operator.mutate(Proposal(parents=(0,), seed=seed), population).program.id for seed in range(8))
    first = next(made)

    assert any(other != first for other in made)  # no more are made than it takes to see a difference


def test_global_randomness_and_the_population_are_left_alone(operator: Operator, population: Population) -> None:
    random.seed(1)
    state, before = random.getstate(), copy.deepcopy(population)
    operator.mutate(Proposal(parents=(0,), seed=0), population)

    assert random.getstate() == state
    assert population == before


@pytest.mark.parametrize("source", ["", "def f(:\n", "\x00"])
def test_a_parent_that_cannot_be_mutated_is_a_mutation_error(operator: Operator, source: str) -> None:
    with pytest.raises(MutationError, match=r"\w+"):
        operator.mutate(Proposal(parents=(0,), seed=0), population_of(source))


def test_a_parent_without_a_program_is_a_mutation_error(operator: Operator) -> None:
    people = Population((Trial(number=0, proposal=Proposal(parents=(), seed=0)),))
    with pytest.raises(MutationError, match="has no program"):
        operator.mutate(Proposal(parents=(0,), seed=0), people)
