"""Checks the language models: their settings, their keys and, with --model, an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from operators.base import ProviderRefusalError
from operators.chat import REFUSED, Reply
from operators.llm.catalogue import has_price, unset_variables
from operators.llm.endpoint import Endpoint, read_endpoints
from operators.llm.model import FIRST_QUESTION, FIRST_SECONDS, answer_tokens
from operators.llm.provider import call
from operators.llm.refusals import UnavailableError
from operators.secrets import SECRET_NAME
from search.doctor.checks.row import Row, broken, broken_by, fine, warning
from search.doctor.checks.subject import Subject
from search.errors import UserError
from search.models.cassette import open_record

_OPEN_MODEL: Final = "operators.llm.open_model"
_OF_ENDPOINTS: Final = (
    "model",
    "api_base",
    "api_key_env",
    "temperature",
    "reasoning_effort",
    "max_tokens",
    "price",
)
SETTINGS: Final = (*_OF_ENDPOINTS, "models", "cassette", "check", "_target_", "_convert_")
"""Settings of `llm` that are not about how a model is called."""

_COST: Final = "no proposal can be made"
_REFUSAL: Final = re.compile(r"(.*?)[:;] (.*?) (\(status \d+: .*\))", re.DOTALL)


def check_models(subject: Subject, *, ask: bool) -> Iterator[Row]:
    """Check the language models.

    Args:
        subject: The search.
        ask: Send each of them one short request, in the way the search sends its own.
    """
    llm = subject.config["llm"]
    try:
        if record := open_record(llm.get("cassette", "record"), subject.run):
            yield fine("model", f"no model is asked: the replies come from {record.root}")
            return
    except UserError as error:
        yield broken_by("model", error, cost=_COST)
        return
    if llm["_target_"] != _OPEN_MODEL:
        yield _without_models(f"llm is {llm['_target_']}", ask=ask)
        return
    try:
        endpoints = configured_endpoints(llm)
    except ValueError as error:
        yield broken("model", str(error), cost=_COST, remedy="docs/llm.md has the settings")
        return
    if not endpoints:
        yield _without_models("none is configured", ask=ask)
    for endpoint in endpoints:
        yield _check(endpoint, subject, ask=ask)


def configured_endpoints(llm: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Return the models that a configuration names.

    Raises:
        ValueError: A setting is out of range, or the variable that it names is not set.
    """
    if llm["_target_"] != _OPEN_MODEL:
        return ()
    return read_endpoints({name: llm[name] for name in _OF_ENDPOINTS}, llm["models"])


def _without_models(found: str, *, ask: bool) -> Row:
    if not ask:
        return fine("model", found)
    return broken("model", found, cost="there is no model that --model could ask", remedy="llm.model=PROVIDER/NAME")


def _check(endpoint: Endpoint, subject: Subject, *, ask: bool) -> Row:
    """Check one model."""
    if not ask:
        return _not_asked(endpoint)
    llm = subject.config["llm"]
    try:
        reply = call(
            endpoint,
            FIRST_QUESTION,
            max_tokens=answer_tokens(endpoint),  # as in the search, to find settings that are refused
            connect_seconds=llm["connect_seconds"],
            total_seconds=min(llm["total_seconds"], FIRST_SECONDS),
        )
    except ProviderRefusalError as error:
        return _refused(endpoint, str(error))
    except UnavailableError as error:
        remedy = "check the network, and the provider's status page"
        if endpoint.api_base:
            remedy = f"start the server, or check llm.api_base: curl {endpoint.api_base.rstrip('/')}/models"
        cost = f"a search would retry for {llm['outage_minutes']:g} minutes, then stop; it can be resumed"
        return broken("model", f"{endpoint.where} does not answer ({error})", cost=cost, remedy=remedy)
    return _answered(endpoint, reply, subject)


def _not_asked(endpoint: Endpoint) -> Row:
    """Return the row of a model that is not asked; only the provider knows which credentials it accepts."""
    unset = [name for name in unset_variables(endpoint) if SECRET_NAME.search(name)]
    if not unset:
        return fine("model", f"{endpoint.where}, not asked: --model sends it one short request")
    return warning(
        "model",
        f"{endpoint.where}, not asked; {' and '.join(unset)} is not set",
        cost=f"without credentials of another kind, {_COST}",
        remedy=f"--model asks it; export {unset[0]}=..., or llm.api_key_env=NAME",
    )


def _refused(endpoint: Endpoint, said: str) -> Row:
    """Return the row for a refused request, from a message such as `WHAT: ADVICE (status 401: WORDS)`."""
    parts = _REFUSAL.fullmatch(said.removeprefix(f"model {endpoint.where}: "))
    if not parts:
        return broken("model", said, cost=_COST, remedy="check llm.model and its settings")
    return broken("model", f"{endpoint.where}: {parts[1]} {parts[3]}", cost=_COST, remedy=parts[2])


def _answered(endpoint: Endpoint, reply: Reply, subject: Subject) -> Row:
    found = (
        f"{endpoint.where} answered in {reply.seconds:.1f} s, "
        f"{reply.prompt_tokens} + {reply.completion_tokens} tokens, {reply.cost_usd:.2g} USD"
    )
    remedy = "llm.price='{input: USD, output: USD}' per million tokens"
    if reply.finish_reason == REFUSED or not reply.text.strip():
        what = "it refuses to answer" if reply.finish_reason == REFUSED else "its answer is empty"
        cost = "proposals may fail in the same way"
        return warning("model", f"{endpoint.where}: {what}", cost=cost, remedy="try again, or another llm.model")
    if has_price(endpoint):
        return fine("model", found)
    if subject.config["budget"]["usd"] is not None:
        return broken("model", f"{found}, price unknown", cost="budget.usd cannot be kept", remedy=remedy)
    return warning("model", f"{found}, price unknown", cost="its cost is counted as 0", remedy=remedy)
