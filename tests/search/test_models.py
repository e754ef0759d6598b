from __future__ import annotations

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from operators.chat import Message
from operators.rest import SearchEndedError
from operators.trial import Proposal
from search.assembly import Parts, make_session
from search.budget import Budget
from search.construct import compose_search
from search.errors import UserError
from search.models import Models
from search.resuming import MAY_CHANGE
from search.runs.rundir import RunDirectory
from tests.operators.test_llm import make_model
from tests.search.builders import MIXED

CHOICES = sorted((Path(conf.__file__).parent / "llm").glob("*.yaml"))
MONEY = Budget(usd=5)


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_no_choice_has_a_model_until_one_is_named(path: Path) -> None:
    config = OmegaConf.load(path)
    for setting in ("cassette", "check"):  # which are the search's own
        config.pop(setting, None)

    assert instantiate(config) is None


def test_the_settings_that_may_change_exist() -> None:
    known = OmegaConf.load(CHOICES[0].with_name("default.yaml"))

    assert {key.removeprefix("llm.") for key in MAY_CHANGE if key.startswith("llm.")} <= {str(key) for key in known}


def test_a_model_and_an_agent_are_waited_for_only_until_the_search_ends(tmp_path: Path) -> None:
    limited = """agent.command='echo "Weekly limit reached; try again in 1 hour"'"""
    model = ("llm.model=openai/scripted", "llm.api_base=http://127.0.0.1:1/v1", "llm.backoff_seconds=60")
    composed = compose_search([f"outputs={tmp_path}", "target=landscape", "operator=agent", limited, *model])
    session = make_session(composed, name="w", arguments=None, parts=Parts(), quiet=True)
    live, agent = session.models.live, session.settings.operator
    assert live is not None
    session.settings.rest.end(True)

    with pytest.raises(SearchEndedError):
        live.complete((Message(role="user", text="Hello"),), seed=0, attempt=0)
    with pytest.raises(SearchEndedError):
        agent.mutate(Proposal(parents=(1,), seed=3), MIXED)


def test_without_a_model_there_is_none_to_ask_and_no_budget_is_refused(tmp_path: Path) -> None:
    models = Models()
    models.check(MONEY)

    assert models.chat(RunDirectory(tmp_path)) is None


def test_a_budget_of_money_needs_prices() -> None:
    common = {"api_base": "http://127.0.0.1:1/v1"}
    with pytest.raises(UserError, match=r"budget.usd=5 cannot be kept: the price of openai/scripted is unknown"):
        Models(live=make_model(None, price=None, **common)).check(MONEY)
    Models(live=make_model(None, price={"input": 0, "output": 0}, **common)).check(MONEY)
    Models(live=make_model(None, price=None, model="openai/gpt-4o-mini", **common)).check(MONEY)
    Models(live=make_model(None, price=None, **common)).check(Budget(trainings=5))


def test_one_model_of_several_without_a_price_is_named() -> None:
    names = ["openai/gpt-4o-mini", "openai/mystery"]
    models = Models(live=make_model(None, model=None, models=names, price=None, api_base="http://127.0.0.1:1/v1"))
    with pytest.raises(UserError, match="the price of openai/mystery is unknown"):
        models.check(MONEY)
