"""Removes keys and passwords from all text that is recorded, shown, or sent to a model.

Others read what is recorded: people with whom a run directory is shared, MLflow's users, the next prompt.
"""

from __future__ import annotations

import os
import re
from typing import Final

BLOT: Final = "***"
SECRET_NAME: Final = re.compile(r"(^|[_.-])(api_?key|key|token|password|passwd|secret|credentials?)$", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")
_KEY_LIKE: Final = re.compile(r"\b(sk|pk|gsk|xai)-[A-Za-z0-9_-]{12,}")
_LEAST_CHARACTERS: Final = 8  # shorter values are words such as "none", which occur in innocent texts


def redact(text: str) -> str:
    """Return a text without passwords in URLs, secrets of the environment, and strings like a provider's key."""
    text = _USER_INFO.sub(BLOT, text)
    for secret in _secrets_of_environment():
        text = text.replace(secret, BLOT)
    return _KEY_LIKE.sub(BLOT, text)


def _secrets_of_environment() -> list[str]:
    """Return the values of environment variables with names of secrets, the longest first."""
    named = {value for name, value in os.environ.items() if SECRET_NAME.search(name)}
    return sorted((value for value in named if len(value) >= _LEAST_CHARACTERS), key=len, reverse=True)
