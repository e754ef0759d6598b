"""The configured models and how to ask each: plain settings, checked before anything is started."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_KEY: Final = "none"  # clients require a key even if a local server does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a model, in USD per million tokens.

    Attributes:
        input: Price of the prompt.
        output: Price of the answer, reasoning included.
        cached: Price of the part of the prompt that was in the provider's cache; None if it is no cheaper.
    """

    input: float
    output: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"price.{name} must be at least 0 USD per million tokens, got {value}")

    def cost_usd(self, *, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call; `prompt_tokens` include the `cached_tokens`."""
        cached = self.input if self.cached is None else self.cached
        fresh = prompt_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * cached + completion_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model: its server, and how to ask it.

    Attributes:
        model: Its name in litellm: `provider/model`.
        weight: Its share of the proposals, with the selection `weighted`.
        api_base: URL of the user's own server; None for the provider's.
        api_key_env: Environment variable with the key; None for the provider's usual one, or no key with `api_base`.
        temperature: None for the model's default.
        reasoning_effort: `low`, `medium`, ...; None for the model's default.
        max_tokens: Longest answer, reasoning included; None for the model's default.
        price: None for litellm's.
    """

    model: str
    weight: float = 1.0
    api_base: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"the weight of {self.model} must be above 0, got {self.weight}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be from 0 to 2, got {self.temperature}")
        self._check_api_base()
        self._check_api_key_env()

    @property
    def where(self) -> str:
        """The model, and the server if it is the user's own."""
        return f"{self.model} at {self.api_base}" if self.api_base else self.model

    @property
    def api_key(self) -> str | None:
        """The key; with None, litellm looks in the provider's usual places.

        The user's own server gets a key only if `api_key_env` names it. It never gets the value of OPENAI_API_KEY by
        default.
        """
        if self.api_key_env is not None:
            return os.environ[self.api_key_env]
        return _NO_KEY if self.api_base else None

    def _check_api_base(self) -> None:
        if self.api_base is None:
            return
        url = urlsplit(self.api_base)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"api_base must be a URL such as http://127.0.0.1:8080/v1, got {self.api_base!r}")
        if url.username or url.password or url.query:
            raise ValueError("api_base must hold no key: set llm.api_key_env to the environment variable that has it")

    def _check_api_key_env(self) -> None:
        if self.api_key_env is None:
            return
        if not _VARIABLE.fullmatch(self.api_key_env):  # probably a key: do not repeat it in the message
            raise ValueError("api_key_env must name an environment variable, such as OPENAI_API_KEY; keys stay there")
        if not os.environ.get(self.api_key_env):
            raise ValueError(f"api_key_env names the environment variable {self.api_key_env}, which is not set")


def read_endpoints(common: Mapping[str, Any], models: Sequence[str | Mapping[str, Any]]) -> tuple[Endpoint, ...]:
    """Return the endpoints that a configuration describes; none if it names no model.

    Args:
        common: Settings of `Endpoint` for all models; with `model`, if there is only one.
        models: Several models: names, or separate settings that include `model`.

    Raises:
        ValueError: If a setting is unknown or out of range, or a named variable is not set.
    """
    if common["model"] is not None and models:
        raise ValueError("set either llm.model or llm.models, not both")
    if common["model"] is not None:
        return (_endpoint(common),)
    own = [{"model": each} if isinstance(each, str) else each for each in models]
    endpoints = tuple(_endpoint({**common, **each}) for each in own)
    names = [each.model for each in endpoints]
    if len(set(names)) < len(names):
        raise ValueError(f"llm.models must differ from each other, got {names}")
    return endpoints


def _endpoint(settings: Mapping[str, Any]) -> Endpoint:
    known = {field.name for field in fields(Endpoint)}
    if unknown := sorted(settings.keys() - known):
        hint = "; keys belong in the environment: name the variable in api_key_env" if "api_key" in unknown else ""
        raise ValueError(f"a model has no setting {unknown[0]!r}, only {', '.join(sorted(known))}{hint}")
    if not settings["model"]:
        raise ValueError("each of llm.models must name its model: {model: provider/name, ...}")
    price = settings.get("price")
    endpoint = Endpoint(**{**settings, "price": None})
    try:
        return endpoint if price is None else replace(endpoint, price=Price(**price))
    except TypeError:
        raise ValueError(
            f"price must be {{input: USD, output: USD, cached: USD}} per million tokens, cached optional, got {price!r}"
        ) from None
