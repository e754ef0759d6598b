from __future__ import annotations

from dataclasses import replace

import pytest

from operators.base import MutationError
from operators.population import Population
from operators.switch import SwitchOperator
from operators.trial import Mutation, Proposal, Status
from target.program import Program
from target.program.constants import parse_constants
from target.spec import SEED_PROGRAM
from tests.search.builders import make_trial

SEED_SOURCE = SEED_PROGRAM.read_text(encoding="utf-8")
SWITCHES = {  # of the seed program
    *("ACTIVATION", "ATTENTION_PATTERN", "VALUE_EMBEDDINGS", "ORTHOGONALISATION"),
    *("VALUE_GATES", "RESIDUAL_SCALARS", "SMEAR", "KEY_OFFSET", "BACK_OUT", "CAUTIOUS_DECAY", "SECOND_MOMENT"),
}


def population_of(*sources: str | Program) -> Population:
    trials = []
    for number, source in enumerate(sources):
        program = Program(source) if isinstance(source, str) else source
        mutation = Mutation(program=program, operator="switch", description="d")
        trials.append(replace(make_trial(number, 2.0, status=Status.BASELINE), mutation=mutation))
    return Population(tuple(trials))


def turn(population: Population, seed: int = 0) -> Mutation:
    return SwitchOperator().mutate(Proposal(parents=(0,), seed=seed), population)


def test_of_the_seed_program_it_turns_each_boolean_and_named_choice_once_and_nothing_else() -> None:
    before, made = parse_constants(SEED_SOURCE), [Program(SEED_SOURCE)]
    with pytest.raises(MutationError, match="switches of the parent have been tried"):
        for seed in range(100):  # every program made is known to the next proposal
            made.append(turn(population_of(*made), seed).program)

    assert len({program.id for program in made}) == len(made)
    turned = set()
    for program in made[1:]:
        after = parse_constants(program.source)
        (name,) = (name for name, constant in after.items() if constant.value != before[name].value)
        assert not before[name].knob.fixed
        assert after[name].value in (before[name].knob.choices or (True, False))
        assert program.skeleton_id == made[0].skeleton_id, "nothing but constants differs"
        turned.add(name)
    assert turned <= SWITCHES
    assert len(turned) >= len(SWITCHES) - 1, "the last one may be missed by chance"


def test_a_turn_is_described_by_its_constant() -> None:
    assert turn(population_of("KIND = 'a'  # knob: a | b\nf(KIND)\n")).description == "KIND 'a' -> 'b'"
    assert turn(population_of("GATED = True\nf(GATED)\n")).description == "GATED True -> False"


def test_a_line_that_lists_alternatives_is_one_switch_even_where_it_assigns_a_constant() -> None:
    population = population_of("GATED = True  # switch: True | GATES > 1\r\nf(GATED)\r\n")
    turned = {turn(population, seed).program.source for seed in range(20)}

    assert turned == {"GATED = GATES > 1  # switch: True | GATES > 1\r\nf(GATED)\r\n"}


@pytest.mark.parametrize(
    "source",
    [
        "GATED = True  # knob: fixed\nf(GATED)\n",
        "DEBUG = True\nf(DEBUG)\n",
        "KIND = 'a'\nf(KIND)\n",
        "KIND = 'a'  # knob: a | a\nf(KIND)\n",
        "HEADS = 4  # knob: 2 | 4 | 8\nf(HEADS)\n",
        "LR = 0.1  # knob: 0.01..1 log\nf(LR)\n",
        "def f(x):\n    return x  # switch: x\n",
    ],
)
def test_a_program_without_a_switch_is_refused_with_what_it_needs(source: str) -> None:
    with pytest.raises(MutationError, match=r"no switch to turn: it needs .*# knob: a \| b.*# switch: this \| that"):
        turn(population_of(source))


def test_a_program_whose_knobs_cannot_be_read_is_refused() -> None:
    with pytest.raises(MutationError, match="constants of the parent cannot be read: line 1: a knob is"):
        turn(population_of("A = 1  # knob: some\nB = True\n"))
