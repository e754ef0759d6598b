from __future__ import annotations

import math
import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.base import MutationError
from operators.constants import ConstantsOperator, perturb
from operators.population import Population
from operators.trial import STUCK, Mutation, Proposal, Status, Trial
from target.program import Program
from target.program.constants import parse_constants

SOURCE = """\
DEPTH = 4  # knob: 2..24 int
BATCH = 64
HEADS = 2  # knob: 1..4
LR = 0.02  # knob: 1e-4..0.05 log
DECAY = 0.0  # knob: 0..1
WARMUP = 0  # knob: 0..100
SHIFT = -0.5
TIED = False
ACTIVATION = "relu2"  # knob: relu2 | gelu | silu
VOCAB = 512  # knob: fixed
TITLE = "x"
"""
OPERATOR = ConstantsOperator(max_changes=3, step=0.5)


def population(source: str) -> Population:
    mutation = Mutation(program=Program(source), operator="seed", description="")
    return Population(
        (Trial(number=0, proposal=Proposal(parents=(), seed=0), mutation=mutation, status=Status.BASELINE, decided=0),)
    )


def mutate(source: str, seed: int = 0, operator: ConstantsOperator = OPERATOR) -> Mutation:
    return operator.mutate(Proposal(parents=(0,), seed=seed), population(source))


def moves(line: str, n: int = 300, step: float = 0.5) -> list:
    (constant,) = parse_constants(line).values()
    return [perturb(constant, random.Random(seed), step) for seed in range(n)]


def test_one_to_three_constants_change_and_everything_else_stays() -> None:
    changed = []
    for seed in range(200):
        mutation = mutate(SOURCE, seed)
        old, new = Program(SOURCE).constants, mutation.program.constants
        names = [name for name in old if old[name] != new[name]]
        assert mutation.program.source == Program(SOURCE).with_constants({name: new[name] for name in names}).source
        assert mutation.description == ", ".join(f"{name} {old[name]!r} -> {new[name]!r}" for name in sorted(names))
        changed.append(len(names))

    assert set(changed) == {1, 2, 3}
    assert {"VOCAB", "TITLE"}.isdisjoint(names)


def test_every_free_constant_is_drawn_sooner_or_later() -> None:
    drawn = {
        name
        for seed in range(200)
        for name in parse_constants(SOURCE)
        if f"{name} " in mutate(SOURCE, seed).description
    }

    assert drawn == set(Program(SOURCE).constants) - {"VOCAB", "TITLE"}


def test_powers_of_two_stay_powers_of_two_and_within_their_bounds() -> None:
    assert set(moves("BATCH = 64")) == {16, 32, 128, 256}
    assert set(moves("HEADS = 2  # knob: 1..4")) == {1, 4}
    assert set(moves("HEADS = 4  # knob: 4..5 pow2")) == {4}  # nowhere to go


def test_powers_of_two_move_up_as_often_as_down_and_rather_by_one_doubling() -> None:
    drawn = Counter(moves("BATCH = 64", 2000))

    assert abs(drawn[16] + drawn[32] - 1000) < 100
    assert min(drawn[32], drawn[128]) > 2 * max(drawn[16], drawn[256])


def test_a_linear_scale_moves_by_a_part_of_the_range() -> None:
    floats, integers = set(moves("A = 0.1  # knob: 0..10 linear")), set(moves("A = 3  # knob: 0..100 linear"))

    assert 0.0 in floats
    assert all(1.35 <= value <= 5.1 for value in floats - {0.0})
    assert 0 in integers
    assert all(15 <= value <= 53 for value in integers - {0})


def test_a_small_integer_moves_by_at_least_one() -> None:
    assert 1 not in set(moves("A = 1"))


def test_without_bounds_a_number_keeps_its_sign_and_zero_goes_up() -> None:
    assert set(moves("A = 1")) == {2, 3}
    assert set(moves("A = 0")) == {1}
    assert min(moves("A = 0.0")) > 0
    assert set(moves("A = 1  # knob: 0..8 int")) >= {0, 2}


def test_layers_and_heads_move_by_ones() -> None:
    drawn = Counter(moves("DEPTH = 8", 2000))

    assert drawn.keys() == {6, 7, 9, 10}
    assert abs(drawn[6] + drawn[7] - 1000) < 100
    assert set(moves("N_HEADS = 1")) == {2, 3}
    assert set(moves("A = 4  # knob: 3..5 unit")) == {3, 5}


def test_a_multiple_of_a_power_of_two_moves_by_doublings() -> None:
    assert set(moves("TOKENS = 15 * 2**14")) == {15 * 2**12, 15 * 2**13, 15 * 2**15, 15 * 2**16}
    assert set(moves("TOKENS = 3 * 2**0")) == {6, 12}


def test_a_share_moves_less_near_nothing_and_near_the_whole() -> None:
    zero, small, half, whole = (set(moves(f"DROPOUT = {value}")) for value in (0.0, 0.05, 0.5, 1.0))

    assert min(zero | small | half) >= 0
    assert max(half | whole) <= 1
    assert max(zero) <= 0.1
    assert max(small) <= 0.15
    assert min(half) < 0.1
    assert max(half) > 0.9
    assert min(whole) >= 0.9


def test_an_average_moves_by_a_factor_of_what_it_lacks_to_one() -> None:
    for value in (0.5, 0.9, 0.999, 0.99995):
        logs = [
            math.log((1 - moved) / (1 - value)) for moved in moves(f"EMA_DECAY = {value}  # knob: 0..0.9999999 average")
        ]
        assert min(map(abs, logs)) > 0.24
        assert max(map(abs, logs)) < 1.01
    assert all(0 <= moved < 1 for moved in moves("MOMENTUM = 0.5"))


def test_an_int_knob_moves_through_all_integers() -> None:
    assert {3, 5, 6, 7} <= set(moves("DEPTH = 4  # knob: 2..24 int")) <= set(range(2, 25)) - {4}


def test_positive_floats_move_by_a_factor_that_is_as_often_up_as_down() -> None:
    logs = [math.log(value / 0.02) for value in moves("LR = 0.02", 2000)]

    assert abs(statistics.fmean(logs)) < 0.05
    assert min(map(abs, logs)) == pytest.approx(0.25, rel=0.05)  # no step that drowns in noise
    assert max(map(abs, logs)) == pytest.approx(1.0, rel=0.05)


def test_strings_move_among_their_choices_and_booleans_flip() -> None:
    assert set(moves('A = "relu2"  # knob: relu2 | gelu | silu')) == {"gelu", "silu"}
    assert set(moves("TIED = False")) == {True}
    assert set(moves("BASE = 10  # knob: 10 | 100 | 1000")) == {100, 1000}


NUMBERS = st.one_of(st.integers(-1000, 1000), st.floats(-1000, 1000).map(lambda value: float(f"{value:.4g}")))


@given(
    NUMBERS,
    st.floats(0, 50),
    st.floats(0.1, 50),
    st.integers(0, 1000),
    st.sampled_from(["", " int", " log", " linear", " pow2"]),
)
def test_bounds_and_types_hold(value: float, below: float, above: float, seed: int, scale: str) -> None:
    (constant,) = parse_constants(f"A = {value!r}  # knob: {value - below}..{value + above}{scale}").values()
    moved = perturb(constant, random.Random(seed), 0.5)

    assert type(moved) is type(value)
    assert value - below <= moved <= value + above


def test_the_seed_of_the_proposal_determines_the_program() -> None:
    assert mutate(SOURCE, 3) == mutate(SOURCE, 3)
    assert len({mutate(SOURCE, seed).program.id for seed in range(50)}) > 45


def test_a_program_that_is_known_is_not_made_again() -> None:
    source = "TIED = False\nGATED = False\n"
    people = population(source)
    made = set()
    for number in range(1, 4):
        mutation = OPERATOR.mutate(Proposal(parents=(0,), seed=number), people)
        made.add(mutation.program.id)
        people = people.with_trial(
            Trial(number=number, proposal=Proposal(parents=(0,), seed=number), mutation=mutation)
        )
    assert len(made) == 3

    with pytest.raises(MutationError, match=r"32 draws gave no new program, the last was that of trial \d"):
        OPERATOR.mutate(Proposal(parents=(0,), seed=9), people)


def test_the_twin_that_is_the_seed_program_is_named() -> None:
    flipped = Mutation(program=Program("TIED = True\n"), operator="test", description="")
    people = population("TIED = False\n").with_trial(
        Trial(number=1, proposal=Proposal(parents=(0,), seed=0), mutation=flipped)
    )

    with pytest.raises(MutationError, match="the last was that of trial 0"):
        OPERATOR.mutate(Proposal(parents=(1,), seed=0), people)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "the parent has no constant to move"),
        ("A = 1  # knob: fixed\n", "the parent has no constant to move"),
        ("A = 4  # knob: 4..5 pow2\n", "no constant of the parent can move within its bounds"),
        ("A = (\n", "the constants of the parent cannot be read"),
    ],
)
def test_a_parent_without_room_is_a_mutation_error(source: str, message: str) -> None:
    with pytest.raises(MutationError, match=message):
        mutate(source)


@pytest.mark.parametrize("arguments", [{"max_changes": 0, "step": 0.5}, {"max_changes": 3, "step": 0.0}])
def test_arguments_out_of_range_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="max_changes must be at least 1 and step above 0"):
        ConstantsOperator(**arguments)


@pytest.mark.parametrize("literal", ["-1e999", "1e308", "-1e308", "9" * 400])
def test_a_number_that_no_step_leads_from_is_left_alone(literal: str) -> None:
    for seed in range(20):
        assert mutate(f"A = {literal}\nB = 0.5\n", seed).description.startswith("B 0.5 -> ")


def test_bounds_without_an_integer_between_them_leave_it_as_it_is() -> None:
    assert set(moves("B = 5  # knob: 4.2..4.8")) == {5}


def test_a_stuck_search_takes_larger_steps() -> None:
    labels = {STUCK: 40}
    usual, wide = (
        [
            abs(math.log(OPERATOR.mutate(proposal, population("LR = 0.02\n")).program.constants["LR"] / 0.02))
            for proposal in (Proposal(parents=(0,), seed=seed, labels=marks) for seed in range(200))
        ]
        for marks in ({}, labels)
    )

    assert max(usual) <= 1.01 < 1.5 < max(wide)
    assert statistics.fmean(wide) == pytest.approx(2 * statistics.fmean(usual), rel=0.1)
