"""A user is told when a language model answers and its answers give no programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from operators.chat import Exchange, Message, Reply
from operators.population import Population
from operators.trial import Attempt, Status, Trial
from search.runs.rundir import RunDirectory
from search.unread import Unread
from tests.search.builders import make_trial

ASKED = Exchange(
    messages=(Message(role="user", text="Propose."),),
    reply=Reply(
        text="CHANGE: deeper",
        model="m",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        cost_usd=0.0,
        seconds=1.0,
    ),
)


def refused(number: int, *, operator: str = "patch") -> Trial:
    trial = make_trial(number, status=Status.NOT_BUILT, detail="no edit\nin it")
    return replace(trial, failure=Attempt(operator=operator, exchanges=(ASKED,)))


def told(trials: list[Trial], tmp_path: Path) -> list[str]:
    said = list[str]()
    unread = Unread(RunDirectory(tmp_path), said.append)
    for count in range(1, len(trials) + 1):
        unread.recorded(Population(tuple(trials[:count])))
    return said


BASELINE = make_trial(0, 2.0, status=Status.BASELINE, parents=())


def test_eight_answers_without_a_program_are_told_with_the_last_one_and_then_after_twice_as_many(tmp_path):
    said = told([BASELINE, *(refused(number) for number in range(1, 18))], tmp_path)

    assert [line.split(" proposals")[0] for line in said] == ["the last 8", "the last 16"]
    assert f"no edit in it ({tmp_path / 'trials' / '0008' / 'reply.md'} has the answer)" in said[0]
    assert "operator=suggest" in said[0]


def test_a_program_in_between_begins_the_count_anew(tmp_path):
    built = make_trial(6, 2.1, status=Status.DISCARD)
    assert built.mutation is not None
    built = replace(built, mutation=replace(built.mutation, exchanges=(ASKED,)))

    assert told([BASELINE, *map(refused, range(1, 6)), built, *map(refused, range(7, 13))], tmp_path) == []


def test_trials_of_operators_that_ask_no_model_count_in_neither_way(tmp_path):
    between = [make_trial(number, 2.1, status=Status.DISCARD) for number in (2, 4, 6)]
    model = [refused(number, operator="suggest") for number in (1, 3, 5, 7, 8, 9, 10, 11)]
    trials = sorted([BASELINE, *between, *model], key=lambda trial: trial.number)

    (line,) = told(trials, tmp_path)

    assert "a larger model" in line


def test_an_agent_that_changes_nothing_may_lack_the_permission(tmp_path):
    (line,) = told([BASELINE, *(refused(number, operator="agent") for number in range(1, 9))], tmp_path)

    assert "although the agent worked" in line
    assert "may not edit files without asking" in line
