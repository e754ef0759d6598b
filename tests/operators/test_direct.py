from __future__ import annotations

from pathlib import Path

import pytest

from operators.base import MutationError, ProviderError
from operators.direct import DirectOperator
from operators.trial import Proposal
from tests.operators.scripted_model import Answer, ScriptedModel, make_prompt, make_resources, refusal
from tests.search.builders import MIXED, SEED_SOURCE, make_population

BASE = make_population(2.0)
PROPOSAL = Proposal(parents=(0,), seed=5)
GOOD = """\
CHANGE: a deeper model
HYPOTHESIS: it lacks capacity, worth 0.01

<<<<<<< SEARCH
DEPTH = 4  # knob: 2..24 int
=======
DEPTH = 6  # knob: 2..24 int
>>>>>>> REPLACE
"""
ABSENT = GOOD.replace("DEPTH = 4", "DEPTH = 5")
BROKEN = GOOD.replace("DEPTH = 6", "DEPTH = (6")
SAME = GOOD.replace("DEPTH = 6  # knob: 2..24 int", "DEPTH = 4  # it stays")
NO_MAIN = "<<<<<<< SEARCH\ndef main():\n=======\ndef other():\n>>>>>>> REPLACE\n"


def patch(*answers: Answer, attempts: int = 3) -> tuple[DirectOperator, ScriptedModel]:
    model = ScriptedModel(answers)
    return DirectOperator(
        answer="patch", prompt=make_prompt(), attempts=attempts, resources=make_resources(model)
    ), model


def test_an_answer_becomes_a_program_with_what_the_model_says_about_it() -> None:
    operator, model = patch(GOOD)
    mutation = operator.mutate(PROPOSAL, BASE)

    assert BASE.trials[0].program is not None
    assert mutation.program.source == BASE.trials[0].program.source.replace("DEPTH = 4", "DEPTH = 6")
    assert (mutation.description, mutation.rationale) == ("a deeper model", "it lacks capacity, worth 0.01")
    assert (mutation.operator, mutation.cost_usd) == ("patch", 0.01)
    assert mutation.prompt == make_prompt().label
    assert [exchange.messages for exchange in mutation.exchanges] == model.asked


@pytest.mark.parametrize(
    ("bad", "feedback"),
    [
        (ABSENT, "SEARCH block 1 of 1 is not in the file; nearest is line 1: 'DEPTH = 4  # knob: 2..24 int'"),
        (BROKEN, "syntax: train.py:1: '(' was never closed: DEPTH = (6  # knob: 2..24 int"),
        (SAME, "this is the program of trial 0 unchanged"),
        (NO_MAIN, "names: train.py must define main() at its top level"),
        ("Sorry.", "there is no edit in the answer"),
        (refusal("scripted refuses to answer (content filter)"), "scripted refuses to answer"),
    ],
)
def test_what_was_wrong_with_an_answer_is_told_to_the_model(bad: Answer, feedback: str) -> None:
    operator, model = patch(bad, GOOD)
    mutation = operator.mutate(PROPOSAL, BASE)

    first, second = model.asked
    assert second[: len(first)] == first, "what a provider has in its cache stays in front"
    assert [message.role for message in second] == ["system", "user", "assistant", "user"]
    assert feedback in second[-1].text
    assert mutation.cost_usd == pytest.approx(0.02)
    assert len(mutation.exchanges) == 2


def test_a_program_that_was_tried_before_is_refused_with_what_came_of_it() -> None:
    tried = next(trial for trial in MIXED.trials if trial.number == 1)
    assert tried.program is not None
    operator, model = patch(f"```python\n{tried.program.source}```", GOOD)
    operator.mutate(PROPOSAL, MIXED)

    assert "the same program as trial 1 (keep, val_bpb 1.9000)" in model.asked[1][-1].text


def test_after_the_last_attempt_the_trial_has_all_that_was_said_and_paid() -> None:
    operator, model = patch(ABSENT, refusal("no"), BROKEN)
    with pytest.raises(MutationError, match=r"no program after 3 answers; the last: syntax: train.py:1") as caught:
        operator.mutate(PROPOSAL, BASE)

    assert caught.value.attempt.cost_usd == pytest.approx(0.03)
    assert len(caught.value.attempt.exchanges) == len(model.asked) == 3
    assert caught.value.attempt.prompt == make_prompt().label


def test_an_outage_passes_through() -> None:
    operator, _ = patch(ProviderError("503"))
    with pytest.raises(ProviderError):
        operator.mutate(PROPOSAL, BASE)


def test_requests_are_identified_by_seed_and_attempt_and_go_to_the_chosen_model() -> None:
    said = []

    class Model(ScriptedModel):
        def complete(self, messages, *, seed, attempt, model=None):  # type: ignore[no-untyped-def]
            said.append((seed, attempt, model))
            return super().complete(messages, seed=seed, attempt=attempt)

    model = Model([ABSENT, GOOD])
    operator = DirectOperator(answer="patch", prompt=make_prompt(), attempts=2, resources=make_resources(model))
    operator.mutate(Proposal(parents=(0,), seed=0, model="b"), BASE)

    assert said == [(0, 0, "b"), (0, 1, "b")]


def test_rewrite_asks_for_the_whole_file() -> None:
    model = ScriptedModel([f"```python\n{SEED_SOURCE.replace('DEPTH = 4', 'DEPTH = 7')}```"])
    operator = DirectOperator(answer="rewrite", prompt=make_prompt(), attempts=1, resources=make_resources(model))
    mutation = operator.mutate(PROPOSAL, BASE)

    assert mutation.operator == operator.name == "rewrite"
    assert "the whole new train.py" in model.asked[0][0].text
    assert "<<<<<<<" not in model.asked[0][0].text
    assert mutation.description == "DEPTH 4 -> 7", "the reply does not say it, so it is looked up"


def test_suggest_asks_for_new_values_and_takes_nothing_else_away() -> None:
    model = ScriptedModel(["CHANGE: deeper\nHYPOTHESIS: depth helps\n\n```python\nDEPTH = 7\n```"])
    operator = DirectOperator(answer="suggest", prompt=make_prompt(), attempts=1, resources=make_resources(model))
    mutation = operator.mutate(PROPOSAL, BASE)

    assert mutation.operator == operator.name == "suggest"
    assert BASE.trials[0].program is not None
    assert mutation.program.source == BASE.trials[0].program.source.replace("DEPTH = 4", "DEPTH = 7")
    assert mutation.description == "deeper"


def test_the_direction_is_read_at_every_proposal(tmp_path: Path) -> None:
    direction = tmp_path / "program.md"
    model = ScriptedModel([GOOD, GOOD])
    operator = DirectOperator(
        answer="patch", prompt=make_prompt(), attempts=1, resources=make_resources(model, direction)
    )
    for word in ("Go wide.", "Go deep."):
        direction.write_text(word)
        operator.mutate(PROPOSAL, BASE)

    assert [word in asked[0].text for asked, word in zip(model.asked, ("Go wide.", "Go deep."), strict=True)] == [
        True
    ] * 2
    assert "Go wide." not in model.asked[1][0].text
    direction.unlink()
    with pytest.raises(MutationError, match=r"program\.md cannot be read"):
        operator.mutate(PROPOSAL, BASE)


def test_without_a_model_or_attempts_it_does_not_start() -> None:
    with pytest.raises(ValueError, match=r"operator patch needs a language model: set llm\.model"):
        DirectOperator(answer="patch", prompt=make_prompt(), attempts=1, resources=make_resources(None))
    with pytest.raises(ValueError, match="attempts must be at least 1, got 0"):
        patch(attempts=0)
