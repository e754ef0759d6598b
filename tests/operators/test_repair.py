from __future__ import annotations

import re
from dataclasses import replace

import pytest

from operators.base import MutationError
from operators.direct import DirectOperator
from operators.population import Population
from operators.repair import RepairOperator, broken
from operators.trial import Attempt, Proposal, Status, Trial
from tests.operators.scripted_model import ScriptedModel, make_prompt, make_resources, obliging
from tests.search.builders import make_trial

TRACE = "RuntimeError: shapes (3, 4) and (5, 6) do not go together\nat train.py:2 in build_model: return DEPTH"


def failed(number: int, *, mends: int | None = None, parent: int = 0, status: Status = Status.CRASHED) -> Trial:
    trial = make_trial(number, status=status, parents=(parent,), detail=TRACE, description=f"idea {number}")
    assert trial.mutation is not None
    extra = () if mends is None else (mends,)
    return replace(trial, mutation=replace(trial.mutation, extra_parents=extra, operator="repair" if extra else "x"))


def people(*trials: Trial) -> Population:
    return Population((make_trial(0, 2.0, status=Status.BASELINE), *trials))


def repairable(population: Population, depth: int = 3) -> list[int]:
    return [trial.number for trial in broken(population.trials[0], population, depth=depth)]


def make_repair(model: ScriptedModel, attempts: int = 1) -> RepairOperator:
    resources = make_resources(model)
    fallback = DirectOperator(answer="patch", prompt=make_prompt(), attempts=1, resources=resources)
    return RepairOperator(prompt=make_prompt(), attempts=attempts, depth=3, fallback=fallback, resources=resources)


def test_the_model_sees_the_program_that_failed_and_how() -> None:
    model = ScriptedModel(obliging)
    population = people(failed(1))
    mutation = make_repair(model).mutate(Proposal(parents=(0,), seed=0), population)

    task = model.asked[0][1].text
    assert population.trials[1].program is not None
    assert task.index(population.trials[1].program.source.strip()) < task.index("It crashed") < task.index(TRACE)
    assert re.search(r"It was meant to do this:\n\n<data (\w+)>\nidea 1.*\n</data \1>", task)
    assert "Its parent, trial #0, worked: val_bpb 2.0000" in task
    assert "-MATRIX_LR = 0.020 " in task
    assert (mutation.operator, mutation.extra_parents) == ("repair", (1,))


def test_the_latest_failed_child_without_a_repair_comes_first() -> None:
    scored = make_trial(4, 1.9, status=Status.DISCARD)

    assert repairable(people(failed(1), failed(2), failed(3), scored)) == [3, 2, 1]
    assert repairable(people(failed(1), failed(2), failed(3, mends=2), scored)) == [3, 1]
    assert repairable(people(failed(1), failed(2, parent=1))) == [1], "others' children are others' business"
    assert repairable(people(failed(1, status=Status.PENDING), make_trial(2, status=Status.NOT_BUILT))) == []


@pytest.mark.parametrize("status", [Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.REJECTED])
def test_every_way_to_fail_can_be_mended(status: Status) -> None:
    assert repairable(people(failed(1, status=status))) == [1]


def test_an_attempt_that_came_to_no_program_counts_as_tried() -> None:
    attempt = make_trial(2, status=Status.NOT_BUILT)
    attempt = replace(attempt, failure=Attempt(operator="repair", extra_parents=(1,)))

    assert repairable(people(failed(1), attempt)) == []


def test_repairs_in_a_row_end_at_the_depth() -> None:
    chain = people(failed(1), failed(2, mends=1), failed(3, mends=2), failed(4, mends=3))

    assert repairable(chain, depth=3) == []
    assert repairable(chain, depth=4) == [4]


def test_proposals_that_wait_together_take_one_program_each() -> None:
    waiting = [
        Trial(number=number, proposal=Proposal(parents=(0,), seed=number), status=Status.PENDING)
        for number in (3, 4, 5)
    ]
    population = people(failed(1), failed(2), *waiting)
    operator = make_repair(ScriptedModel(obliging))
    taken = [operator.mutate(trial.proposal, population) for trial in waiting]

    assert [(mutation.operator, mutation.extra_parents) for mutation in taken] == [
        ("repair", (2,)),
        ("repair", (1,)),
        ("repair/patch", ()),
    ]


def test_with_nothing_to_mend_the_fallback_works_and_its_failure_has_its_name() -> None:
    proposal = Proposal(parents=(0,), seed=0)
    assert make_repair(ScriptedModel(obliging)).mutate(proposal, people()).operator == "repair/patch"
    with pytest.raises(MutationError) as caught:
        make_repair(ScriptedModel(["?"])).mutate(proposal, people())
    assert caught.value.attempt.operator == "repair/patch"


def test_a_failed_repair_says_what_it_tried_to_mend() -> None:
    with pytest.raises(MutationError) as caught:
        make_repair(ScriptedModel(["?"])).mutate(Proposal(parents=(0,), seed=0), people(failed(1)))

    assert (caught.value.attempt.operator, caught.value.attempt.extra_parents) == ("repair", (1,))
