"""A command line of a setting, split as a shell would do it."""

from __future__ import annotations

import shlex
from pathlib import Path


def split_command(command: str) -> list[str]:
    """Return the words of a command; quotes hold words together, and `~/` in front of one is the user's home.

    Raises:
        ValueError: A quote is never closed.
    """
    return [str(Path(word).expanduser()) if word.startswith("~/") else word for word in shlex.split(command)]
