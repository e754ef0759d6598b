"""What an evaluation has found so far."""

from __future__ import annotations

import dataclasses

import pytest

from target.draft import Draft
from target.evaluation import Evaluation, Outcome


def test_a_draft_has_what_an_evaluation_has_but_its_end() -> None:
    fields = {each.name: each.default for each in dataclasses.fields(Evaluation)}
    own = {each.name: each.default for each in dataclasses.fields(Draft)}

    assert fields.keys() - own.keys() == {"outcome", "score", "detail", "host", "card"}
    assert own == {name: fields[name] for name in own}, "both mean the same by nothing"
    assert Draft(seed=7).end(Outcome.OK, score=1.5) == Evaluation(outcome=Outcome.OK, seed=7, score=1.5)


def test_what_was_found_is_in_the_evaluation_of_a_failure_too() -> None:
    draft = Draft(seed=7, trained=False)
    with pytest.raises(KeyError), draft.timed("wall_seconds"):
        draft.isolation = ("landlock",)
        raise KeyError

    found = draft.end(Outcome.CRASHED, detail="it crashed")

    assert (found.trained, found.isolation, found.score, found.detail) == (False, ("landlock",), None, "it crashed")
    assert found.wall_seconds > 0


def test_a_second_try_begins_anew() -> None:
    draft = Draft(seed=7, tries=2, verified=False, train_seconds=3.0, probes={"d1": 1.0}, trained=False)

    draft.forget(keep=("tries", "verified"))

    assert draft == Draft(seed=7, tries=2, verified=False)
