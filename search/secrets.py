"""Refuses keys and passwords in a configuration, and redacts others in all output of a search."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from operators.secrets import BLOT, SECRET_NAME, redact
from search.errors import UserError

_SETTING: Final = re.compile(
    r"""((?:(?:\b|_)(?:api_?key|token|password|passwd|secret|credentials?)|(?<=\w[_.-])key)=)('[^']*'|"[^"]*"|\S+)""",
    re.IGNORECASE,
)
"""A setting that is named like a secret, and its value. The word `key` alone is not: `sorted(key=len)`, `--key=2`."""


def refuse_secrets(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that holds a key or a password: it is written to the run directory.

    Raises:
        UserError: It does; the message names the setting, but not its value.
    """
    for name, value in _leaves(config):
        if isinstance(value, str) and value and SECRET_NAME.search(name):
            raise UserError(
                f"{name} must not be in a configuration, which is recorded with the run: set it in the environment, "
                "such as OPENAI_API_KEY for a model or MLFLOW_TRACKING_PASSWORD for a tracking server"
            )


def redact_settings(text: str) -> str:
    """Return a command line with the values of settings named like secrets redacted."""
    return _SETTING.sub(rf"\1{BLOT}", text)


def redact_logs() -> None:
    """Redact whatever this process logs from now on: Hydra logs the command line of each job of a sweep."""
    logging.setLogRecordFactory(_RedactedRecord)


class _RedactedRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 -- the name is logging's
        return redact_settings(redact(super().getMessage()))


def redact_all(value: Any) -> Any:
    """Return plain types with every text in them redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_all(each) for key, each in value.items()}
    return [redact_all(each) for each in value] if isinstance(value, list | tuple) else value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{name}.{index}")
    else:
        yield name, value
