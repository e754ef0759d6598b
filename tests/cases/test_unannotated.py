"""A program without knob comments: what `constants` and `tune` make of it, over many seeds."""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from operators.base import Operator
from operators.constants import ConstantsOperator
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from operators.tune import TuneOperator
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.program.constants import Value, parse_constants
from target.program.movable import movable_text

SEED = Program((Path(__file__).parent / "programs" / "unannotated.txt").read_text(encoding="utf-8"))
FRACTIONS = ("WARMUP_RATIO", "WARMDOWN_RATIO", "FINAL_LR_FRAC", "DROPOUT")
OPERATORS = (ConstantsOperator(max_changes=3, step=0.5), TuneOperator(candidates=40, memory=30, untried=0.15))
STAY = {
    "A100_PEAK",
    "EVAL_TOKENS",
    "LOG_EVERY",
    "TIME_BUDGET",
    "SEED",
    "OLD_LR",
    "BLOCK_PATTERN",
    "MATRIX_LR",
    "HEAD_LR",
}


def score_of(program: Program) -> float:
    """Run a program, which checks its own constants, and return its score."""
    out = io.StringIO()
    scope: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(out):
        exec(compile(program.source, "train.py", "exec", dont_inherit=True), scope)
    return float(out.getvalue().rpartition("val_bpb:")[2])


def begun(program: Program = SEED) -> Population:
    run = Evaluation(outcome=Outcome.OK, seed=0, score=score_of(program), train_seconds=1)
    mutation = Mutation(program=program, operator="seed", description="")
    proposal = Proposal(parents=(), seed=0)
    first = Trial(number=0, proposal=proposal, mutation=mutation, evaluations=(run,), status=Status.BASELINE, decided=0)
    return Population((first,))


def chain(operator: Operator, seed: int, length: int) -> list[Program]:
    """Return programs each of which is made of the one before, and trained."""
    people = begun()
    for number in range(1, length + 1):
        mutation = operator.mutate(Proposal(parents=(number - 1,), seed=1000 * seed + number), people)
        run = Evaluation(outcome=Outcome.OK, seed=0, score=score_of(mutation.program), train_seconds=1)
        trial = Trial(
            number=number,
            proposal=Proposal(parents=(number - 1,), seed=number),
            mutation=mutation,
            evaluations=(run,),
            status=Status.DISCARD,
            decided=number,
        )
        people = people.with_trial(trial)
    return [trial.program for trial in people.trials if trial.program]


def test_what_can_move_and_what_cannot_is_one_line() -> None:
    assert movable_text(SEED.source) == (
        "17 constants can move: DEPTH, N_HEAD, HEAD_DIM, ASPECT_RATIO, TOTAL_BATCH_SIZE, MICRO_BATCH_SIZE, SEQUENCE, "
        "EMBEDDING_LR, WEIGHT_DECAY, ADAM_BETAS, MUON_MOMENTUM, GRAD_CLIP, LAYER_SCALES, WARMUP_RATIO, WARMDOWN_RATIO, "
        "FINAL_LR_FRAC, DROPOUT; 11 stay: BLOCK_PATTERN, A100_PEAK (only scales what is printed); "
        "MATRIX_LR, HEAD_LR, OLD_LR (not read); EVAL_TOKENS (how the score is measured); LOG_EVERY (what is printed); "
        "TIME_BUDGET (a limit); SEED (a seed); WIDTH, DEVICE (an expression of other names)"
    )


@pytest.mark.parametrize(("operator", "draws"), [(OPERATORS[0], 500), (OPERATORS[1], 120)])
def test_hundreds_of_draws_are_programs_that_run_and_keep_their_promises(operator: Operator, draws: int) -> None:
    people, old = begun(), SEED.constants
    moved: dict[str, set[Value]] = defaultdict(set)
    for seed in range(draws):
        program = operator.mutate(Proposal(parents=(0,), seed=seed), people).program
        score_of(program)  # its assertions: fractions, decay rates, positive sizes
        new = program.constants
        assert new.keys() == old.keys()
        for name in new:
            if new[name] != old[name]:
                moved[name].add(new[name])
    assert moved.keys() == old.keys() - STAY, "everything that may move does, and nothing else"
    assert all(0 <= value <= 1 for name in FRACTIONS for value in moved[name])  # type: ignore[operator]
    assert {5, 7} <= moved["DEPTH"] <= set(range(3, 10))
    assert {2, 4} <= moved["N_HEAD"] <= set(range(1, 6))
    assert all(float(value).hex().startswith("0x1.0") for value in moved["TOTAL_BATCH_SIZE"])
    assert all(value % 3 == 0 for value in moved["MICRO_BATCH_SIZE"])  # type: ignore[operator]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_powers_and_products_keep_their_form(operator: Operator) -> None:
    people = begun()
    lines = [
        line.partition("#")[0].strip()
        for seed in range(150)
        for line in operator.mutate(Proposal(parents=(0,), seed=seed), people).program.source.splitlines()
    ]
    for name, form in (("TOTAL_BATCH_SIZE", "2**"), ("MICRO_BATCH_SIZE", "3 * 2**"), ("SEQUENCE", "1 << ")):
        assert len({line for line in lines if line.startswith(f"{name} = {form}")}) > 2
        assert all(line.startswith(f"{name} = {form}") for line in lines if line.startswith(f"{name} ="))


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("seed", range(3))
def test_promises_hold_from_program_to_program(operator: Operator, seed: int) -> None:
    for program in chain(operator, seed, 25):
        assert program.skeleton_id == SEED.skeleton_id
        values = program.constants
        assert all(0 <= float(values[name]) <= 1 for name in FRACTIONS)
        assert all(values[name] == SEED.constants[name] for name in STAY)
        assert {each.line for each in parse_constants(program.source).values()} == {
            each.line for each in parse_constants(SEED.source).values()
        }
