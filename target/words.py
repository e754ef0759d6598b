"""Splits a setting that is a command line, as a shell would."""

from __future__ import annotations

import shlex
from pathlib import Path


def split_command(command: str) -> list[str]:
    """Return the words of a command; quotes group words, and a leading `~/` is the user's home.

    Raises:
        ValueError: A quote is never closed.
    """
    return [str(Path(word).expanduser()) if word.startswith("~/") else word for word in shlex.split(command)]
