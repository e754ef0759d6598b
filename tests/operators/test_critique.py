from __future__ import annotations

from dataclasses import replace

import pytest

from operators.base import NoModelError
from operators.critique import read_order
from operators.sample import SampleOperator
from operators.trial import Mutation
from tests.operators.scripted_model import ScriptedModel, make_resources, refusal
from tests.operators.test_sample import PROPOSAL, Scripted, rates
from tests.search.builders import MIXED

PROGRAMS = rates(0.1, 0.2, 0.3)
SETTINGS = {"n": 3, "prediction": 0.0, "novelty": 0.0, "memory": 50}


def sample(model: ScriptedModel | None, critique: int, **changes: object) -> Mutation:
    resources = replace(make_resources(model), **changes)  # type: ignore[arg-type]
    operator = SampleOperator(
        of="it", operators={"it": Scripted(*PROGRAMS)}, critique=critique, resources=resources, **SETTINGS
    )  # type: ignore[arg-type]
    return operator.mutate(PROPOSAL, MIXED)


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("The second is sound.\nORDER: 2, 1, 3", [1, 0, 2]),
        ("order: 3", [2, 0, 1]),
        ("**ORDER:** 3 > 1 > 2", [2, 0, 1]),
        ("ORDER: 1, 2, 3\nOn reflection:\n**ORDER: 3,2,1**", [2, 1, 0]),
        ("ORDER: 7, 2, 2, 0", [1, 0, 2]),
        ("Change 3 is the best.", [0, 1, 2]),
        ("", [0, 1, 2]),
    ],
)
def test_an_answer_gives_an_order(answer: str, order: list[int]) -> None:
    assert read_order(answer, 3) == order


def test_the_model_puts_the_most_promising_in_order_and_that_is_paid() -> None:
    model = ScriptedModel(["The last one.\nORDER: 3, 2, 1"])
    mutation = sample(model, 3)

    without = sample(ScriptedModel([]), 0)
    ((message,),) = model.asked
    assert all(f"{rate}" in message.text for rate in (0.1, 0.2, 0.3))
    assert mutation.program == without.spares[-1]
    assert [each.id for each in mutation.spares] == [without.spares[0].id, without.program.id]
    assert mutation.cost_usd == pytest.approx(without.cost_usd + 0.01)
    assert mutation.exchanges[-1].reply.text.endswith("ORDER: 3, 2, 1")


def test_only_so_many_are_shown() -> None:
    model = ScriptedModel(["ORDER: 2, 1"])
    mutation = sample(model, 2)

    without = sample(ScriptedModel([]), 0)
    assert "# Change 2" in model.asked[0][0].text
    assert "# Change 3" not in model.asked[0][0].text
    assert mutation.program == without.spares[0]
    assert mutation.spares[-1] == without.spares[-1]


def test_a_choice_that_cannot_train_is_passed_over() -> None:
    model = ScriptedModel(["ORDER: 3, 2, 1"])
    best = sample(ScriptedModel([]), 0).spares[-1]
    mutation = sample(model, 3, preflight=lambda program, _: "too large" if program == best else "")

    assert mutation.program == sample(ScriptedModel([]), 0).spares[0]


def test_a_model_that_refuses_changes_nothing_but_the_cost() -> None:
    mutation = sample(ScriptedModel([refusal("it refused to answer")]), 3)

    without = sample(ScriptedModel([]), 0)
    assert (mutation.program, mutation.spares) == (without.program, without.spares)
    assert mutation.cost_usd == pytest.approx(without.cost_usd + 0.01)


def test_without_a_model_a_critique_is_refused() -> None:
    with pytest.raises(NoModelError, match=r"operator\.critique needs a language model"):
        sample(None, 3)
