"""`propose_ahead: null`, decided from what the target and the operators declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.base import Resources
from search.ahead import Pace, ahead_per_slot
from search.composed import make_target
from search.construct import compose_config, make_models, make_operator, plain_config
from search.runs.rundir import RunDirectory

LLM = "llm.model=openai/a"


def ahead(tmp_path: Path, *overrides: str) -> int:
    """Return what a search with these settings makes ahead for each slot."""
    config = compose_config(overrides)
    run, pace = RunDirectory(tmp_path), Pace()
    models = make_models(config.llm, run)
    resources = Resources(lend=models.lender(run), direction=tmp_path, limits=(), slow=pace.slow)
    make_operator(config.operator, "operator", resources)
    make_operator(config.extra_operators.tune, "tune", resources)
    target = make_target(plain_config(config)["target"])
    return ahead_per_slot(target, slow_operator=pace.is_slow or models.asked)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["operator=constants"], 0),
        (["operator=switch"], 0),
        (["operator=tune"], 0),
        (["operator=mix"], 0),  # without a model it leaves out what needs one
        (["operator=sample", "operator.of=constants"], 0),
        (["operator=mix", LLM], 1),
        (["operator=patch", LLM], 1),
        (["operator=crossover", LLM], 1),
        (["operator=sample", "operator.of=patch", LLM], 1),
        (["operator=agent", "agent.command=cat"], 1),
        (["operator=constants", LLM], 0),  # nothing asks it
        (["operator=constants", "target=gpu"], 1),
        (["operator=patch", LLM, "target=gpu"], 1),
        (["operator=patch", LLM, "target=landscape"], 0),  # no time passes there
    ],
)
def test_programs_are_made_ahead_where_a_slot_would_wait(tmp_path: Path, overrides: list[str], expected: int) -> None:
    assert ahead(tmp_path, *overrides) == expected
