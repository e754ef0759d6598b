"""Which part of a reasoning is the answer, and that a draft never is."""

from __future__ import annotations

import pytest

from operators.base import MutationError
from operators.chat import Message, Reply
from operators.direct import DirectOperator
from operators.llm.reasoning import UnclearReasoningError, answer_in_reasoning
from operators.trial import Proposal
from tests.operators.scripted_model import ScriptedModel, make_prompt, make_reply, make_resources
from tests.search.builders import make_population

BASE = make_population(2.0)
SOURCE = BASE.trials[0].program.source  # type: ignore[union-attr]
PROPOSAL = Proposal(parents=(0,), seed=5)


def block(depth: int) -> str:
    return (
        f"<<<<<<< SEARCH\nDEPTH = 4  # knob: 2..24 int\n=======\nDEPTH = {depth}  # knob: 2..24 int\n>>>>>>> REPLACE\n"
    )


OTHER = "<<<<<<< SEARCH\ndef main():\n=======\ndef main() -> None:\n>>>>>>> REPLACE\n"
QUOTE = "It begins with\n```python\nDEPTH = 4  # knob: 2..24 int\n```\nso it is shallow.\n\n"
FENCED = f"```\n{block(6)}```\n"


@pytest.mark.parametrize(
    ("reasoning", "answer"),
    [
        (f"I go deeper.\n\n{block(6)}", block(6)),
        (f"CHANGE: deeper\nHYPOTHESIS: 0.01\n\n{block(6)}", block(6)),
        (f"Deeper.\n{FENCED}\nCHANGE: deeper\nHYPOTHESIS: it gains\n0.01\n", f"{FENCED}\nCHANGE: deeper\nHYP"),
        (f"Both.\n{block(6)}\ntrain.py\n{OTHER}", f"{block(6)}\ntrain.py\n{OTHER}"),
        (QUOTE + block(6), block(6)),
        (f"Draft: {block(9)}</think>\n\n{block(6)}", block(6)),
        ("So:\n```python\nDEPTH = 6\n```", "```python\nDEPTH = 6\n```"),
    ],
)
def test_edits_that_end_a_reasoning_are_the_answer(reasoning: str, answer: str) -> None:
    assert answer_in_reasoning(reasoning, SOURCE).startswith(answer)


@pytest.mark.parametrize(
    ("reasoning", "why"),
    [
        (f"{block(9)}\nNo, that is too slow. So\n\n{block(6)}", "several edits with words between them"),
        (f"{OTHER}\nNo, one thing at a time:\n\n{block(6)}", "several edits with words between them"),
        (f"Perhaps\n{block(9)}\nNo, that is too slow.", "words follow its last edit"),
        ("Perhaps DEPTH = 9? No.", "there is no edit"),
        (f"<think>Perhaps\n{block(9)}", "there is no edit"),
        (QUOTE, "there is no edit"),
    ],
)
def test_what_may_be_a_draft_is_refused(reasoning: str, why: str) -> None:
    with pytest.raises(UnclearReasoningError, match=f"was reasoning only, and .*{why}"):
        answer_in_reasoning(reasoning, SOURCE)


class Reasoning(ScriptedModel):
    """Gives its answers as reasoning."""

    def complete(self, messages, *, seed, attempt, model=None) -> Reply:  # type: ignore[no-untyped-def]
        text = super().complete(messages, seed=seed, attempt=attempt, model=model).text
        return make_reply(text, reasoning=True)


def patch(*answers: str, attempts: int = 3) -> tuple[DirectOperator, Reasoning]:
    model = Reasoning(answers)
    operator = DirectOperator(answer="patch", prompt=make_prompt(), attempts=attempts, resources=make_resources(model))
    return operator, model


def test_a_program_is_made_of_an_answer_that_came_as_reasoning() -> None:
    operator, model = patch(f"I go deeper.\n\n{block(6)}")
    mutation = operator.mutate(PROPOSAL, BASE)

    assert mutation.program.source == SOURCE.replace("DEPTH = 4", "DEPTH = 6")
    assert mutation.description == "I go deeper."
    assert len(model.asked) == 1


def test_what_is_unclear_is_told_to_the_model_once() -> None:
    draft = f"Perhaps\n{block(9)}\nNo."
    operator, model = patch(draft, f"Well.\n{block(6)}")
    mutation = operator.mutate(PROPOSAL, BASE)
    assert mutation.program.source == SOURCE.replace("DEPTH = 4", "DEPTH = 6")
    first, second = model.asked
    assert "the answer was reasoning only" in second[-1].text
    assert second[len(first)] == Message(role="assistant", text="(no usable answer)"), "drafts are not sent back"

    operator, model = patch(*[draft] * 3)
    with pytest.raises(MutationError, match="no program after 2 answers; the last: the answer was reasoning") as caught:
        operator.mutate(PROPOSAL, BASE)
    assert len(model.asked) == len(caught.value.attempt.exchanges) == 2
    assert caught.value.attempt.cost_usd == pytest.approx(0.02)


def test_an_edit_that_does_not_apply_is_refused_as_ever() -> None:
    operator, model = patch(*[block(6).replace("DEPTH = 4", "DEPTH = 5")] * 3)
    with pytest.raises(MutationError, match="no program after 3 answers; the last: SEARCH block 1 of 1 is not in"):
        operator.mutate(PROPOSAL, BASE)
    assert len(model.asked) == 3
