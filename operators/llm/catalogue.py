"""What litellm's own table says of a model, without a request to its provider: prices, limits, variables with keys.

A server of Ollama is the exception: litellm asks it for the limits of its models.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any, Final

from operators.llm.endpoint import Endpoint

_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx")


def import_litellm() -> Any:
    """Import litellm, which takes seconds; set it up to connect only to the provider of a call."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its default downloads a table of prices
    os.environ.setdefault("DO_NOT_TRACK", "true")
    warnings.filterwarnings("ignore", message=r".*`ReadOnly` qualifier", category=UserWarning)  # pydantic, of its types
    if "litellm" not in sys.modules:
        gc.disable()  # next to nothing that an import makes is garbage, and looking for it takes a fifth of the time
    try:
        import litellm
    finally:
        gc.enable()

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we get what matters as an exception
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def unset_variables(endpoint: Endpoint) -> list[str]:
    """Return the environment variables that litellm expects for a model and that are not set.

    This is only advice: many providers accept other kinds of credentials, and some servers need none.
    """
    if endpoint.api_key is not None:
        return []
    missing: list[str] = import_litellm().validate_environment(endpoint.model)["missing_keys"]
    return missing


def has_price(endpoint: Endpoint) -> bool:
    """Return whether the price of a call is known."""
    return endpoint.price is not None or _known(endpoint).get("input_cost_per_token") is not None


def longest_answer_tokens(endpoint: Endpoint) -> int | None:
    """Return the model's limit for an answer, reasoning included; None if it is not known."""
    return _tokens(endpoint, "max_output_tokens")


def longest_prompt_tokens(endpoint: Endpoint) -> int | None:
    """Return the model's limit for a prompt; None if it is not known."""
    return _tokens(endpoint, "max_input_tokens")


def _tokens(endpoint: Endpoint, name: str) -> int | None:
    limit = _known(endpoint).get(name)
    return int(limit) if limit else None


def _known(endpoint: Endpoint) -> Mapping[str, Any]:
    litellm = import_litellm()
    try:
        found: Mapping[str, Any] = litellm.get_model_info(endpoint.model)  # litellm caches this
    except litellm.exceptions.ModelNotMappedError:
        return {}
    return found
