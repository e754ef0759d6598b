"""What prompts and the choice of pairs promise, on populations made for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import conf
from operators.base import MutationError
from operators.crossover import degenerate
from operators.prompt import Briefing, Prompt, tokens
from operators.trial import Proposal
from tests.search.builders import MIXED

STYLES = sorted((Path(conf.__file__).parent / "prompt").glob("*.yaml"))


def make_prompt(**changes: int) -> Prompt:
    settings = yaml.safe_load(STYLES[0].with_name("default.yaml").read_text(encoding="utf-8"))
    del settings["_target_"]
    return Prompt(**{**settings, **changes})


def text_of(prompt: Prompt, parent: int) -> tuple[str, str]:
    proposal = Proposal(parents=(parent,), seed=1)
    briefing = Briefing(answer="patch", proposal=proposal, population=MIXED, base=MIXED.trials[parent])
    system, task = prompt.messages(briefing, direction="Go left.", limits=["One minute."])
    return system.text, task.text


def test_the_part_that_never_changes_comes_first_and_the_rest_is_a_function_of_the_population() -> None:
    assert text_of(make_prompt(), 5) == text_of(make_prompt(), 5)
    assert text_of(make_prompt(), 5)[0] == text_of(make_prompt(), 1)[0]
    assert text_of(make_prompt(), 5)[1] != text_of(make_prompt(), 1)[1]


def test_a_prompt_stays_within_its_tokens_or_is_refused() -> None:
    full = sum(map(tokens, text_of(make_prompt(), 5)))

    assert sum(map(tokens, text_of(make_prompt(max_tokens=full - 40), 5))) <= full - 40
    with pytest.raises(MutationError, match="raise it"):
        text_of(make_prompt(max_tokens=100), 5)


def test_a_trial_is_not_combined_with_what_it_descends_from() -> None:
    assert degenerate(MIXED.trials[5], MIXED.trials[0], MIXED) == "one descends from the other"
    assert degenerate(MIXED.trials[1], MIXED.trials[1], MIXED) == "they have the same program"
