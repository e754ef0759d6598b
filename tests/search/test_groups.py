"""The tables of a report: operators, prompts and models, and why trials failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from operators.chat import Exchange, Message, Reply
from operators.population import Population
from operators.trial import Status, Trial
from search.report.groups import causes, cost_sentence, groups
from tests.search.builders import MIXED, make_trial


def asked(number: int, score: float, model: str, *, kept: bool = False) -> Trial:
    trial = make_trial(number, score, status=Status.KEEP if kept else Status.DISCARD)
    reply = Reply(
        text="", model=model, finish_reason="stop", prompt_tokens=90, completion_tokens=10, cost_usd=0.02, seconds=1
    )
    exchange = Exchange(messages=(Message(role="user", text="?"),), reply=reply)
    assert trial.mutation is not None
    return replace(trial, mutation=replace(trial.mutation, exchanges=(exchange,), prompt="terse@1", cost_usd=0.02))


def test_each_group_has_its_trials_gain_and_cost() -> None:
    seed = make_trial(0, 2.0, status=Status.BASELINE)
    people = Population((seed, asked(1, 1.9, "a", kept=True), asked(2, 1.95, "b"), asked(3, 1.8, "b", kept=True)))
    tables = groups(people)

    assert list(tables) == ["operator", "prompt", "model"]
    rows = {row.name: (row.trials, row.kept, row.gain, row.tokens, row.cost_usd) for row in tables["model"]}
    assert rows == {"a": (1, 1, pytest.approx(0.1), 100, 0.02), "b": (2, 1, pytest.approx(0.1), 200, 0.04)}
    assert [row.trials for row in tables["prompt"]] == [3]
    assert cost_sentence(people, 0.06).startswith("0.0600 USD for 3 requests: 270 prompt tokens")
    assert "0.0300 USD for each program that was kept" in cost_sentence(people, 0.06)


def test_without_models_there_are_only_operators() -> None:
    assert list(groups(MIXED)) == ["operator"]
    assert sum(row.failed for row in groups(MIXED)["operator"]) == 4
    assert cost_sentence(MIXED, 0.0) == ""


def test_failures_that_differ_in_numbers_only_are_one_cause() -> None:
    details = ["needs 3.5 GB", "needs 4.25 GB", "loss is nan", *[f"error {chr(97 + index)}" for index in range(20)]]
    failed = [make_trial(n, status=Status.CRASHED, detail=detail) for n, detail in enumerate(details, start=1)]
    rows, rare = causes(Population((make_trial(0, 2.0, status=Status.BASELINE), *failed)))

    assert (rows[0].message, rows[0].count, rows[0].latest) == ("needs 4.25 GB", 2, 2)
    assert sum(row.count for row in rows) + rare == len(details)
