"""What every operator promises; `conf/operator/*.yaml` is the roll call."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.utils import instantiate

import conf
from conf.schema import Config
from operators.base import MutationError, Operator, Resources, equip
from operators.chat import Message, Reply
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from target.program import Program
from target.spec import SEED_PROGRAM
from tests.llm_habits import habit
from tests.search.builders import make_evaluation

SWITCH = "\n\ndef variant(x):\n    return x  # switch: x | -x | 2 * x | x * x\n"
OPERATORS = sorted((Path(conf.__file__).parent / "operator").glob("*.yaml"))
DIRECTION = Path(__file__).parents[2] / "program.md"
ConfigStore.instance().store(name="schema", node=Config)


@pytest.fixture(params=OPERATORS, ids=lambda path: path.stem)
def operator(request: pytest.FixtureRequest) -> Operator:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[f"operator={request.param.stem}"])
    resources = Resources(model=ScriptedModel(), direction=DIRECTION, limits=("One minute.",))
    return equip(instantiate(config.operator), resources)


@dataclass(frozen=True)
class Conversation:
    """What the habit of the scripted model needs to know."""

    text: str
    repeats: int


class ScriptedModel:
    """Answers as the scripted server does, a function of the question and the seed."""

    def complete(self, messages: Sequence[Message], *, seed: int, attempt: int, model: str | None = None) -> Reply:
        text = habit(Conversation("\n\n".join(message.text for message in messages), seed))
        return Reply(
            text=text,
            model="scripted",
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
            cost_usd=0.5,
            seconds=0,
        )


def population_of(source: str) -> Population:
    mutation = Mutation(program=Program(source), operator="seed", description="the seed program")
    proposal = Proposal(parents=(), seed=0)
    seed = Trial(
        number=0,
        proposal=proposal,
        mutation=mutation,
        evaluations=(make_evaluation(),),
        status=Status.BASELINE,
        decided=0,
    )
    return Population((seed,))


@pytest.fixture
def population() -> Population:
    return population_of(SEED_PROGRAM.read_text(encoding="utf-8") + SWITCH)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_it_makes_another_program_and_says_how(operator: Operator, population: Population, seed: int) -> None:
    mutation = operator.mutate(Proposal(parents=(0,), seed=seed), population)

    assert population.find(mutation.program.id) is None
    compile(mutation.program.source, "train.py", "exec")
    assert mutation.operator.split("/")[0] == operator.name, "one that delegates says so: crossover/patch"
    assert mutation.description
    assert "\n" not in mutation.description
    assert mutation.cost_usd >= 0


def test_an_interrupted_proposal_can_be_asked_for_again(operator: Operator, population: Population) -> None:
    proposal = Proposal(parents=(0,), seed=3)

    assert operator.mutate(proposal, population) == operator.mutate(proposal, population)


def test_different_seeds_give_different_programs(operator: Operator, population: Population) -> None:
    made = {operator.mutate(Proposal(parents=(0,), seed=seed), population).program.id for seed in range(8)}

    assert len(made) > 1


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
