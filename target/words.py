"""Command lines: the words of a setting, and commands that are printed to be pasted into a shell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def split_command(line: str, home: Path | None = None) -> list[str]:
    """Return the words of a command; quotes group words, and a leading `~/` is the user's home.

    Args:
        line: The command.
        home: The user's home; None for that of this process.

    Raises:
        ValueError: A quote is never closed.
    """
    home = home or Path.home()
    return [str(home / word[2:]) if word.startswith("~/") else word for word in shlex.split(line)]


def command(module: str, *words: str) -> str:
    """Return the command that starts a module with the Python that runs now, quoted for a shell.

    Args:
        module: Its name, such as `target.climbmix`.
        words: Its arguments.
    """
    return shlex.join([sys.executable, "-m", module, *words])


def user_path(text: str) -> Path:
    """Return the path that an argument names; a type for argparse. Shells do not expand `~/` in `--json=~/x.json`."""
    return Path(text).expanduser()
