"""Keys stay in the environment: what is written down, or shown, is cleared of them first."""

from __future__ import annotations

import os
import re
from typing import Final

REDACTED: Final = "[redacted]"
_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_SHORTEST: Final = 8  # characters; shorter ones are words, such as the `none` of a local server
_KEY_LIKE: Final = re.compile(r"\b(sk|pk|gsk|xai)-[A-Za-z0-9_-]{12,}")


def redact(text: str) -> str:
    """Return a text without the values of environment variables that are named like secrets, and without keys."""
    secrets = {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return _KEY_LIKE.sub(REDACTED, text)
