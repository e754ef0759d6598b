"""Commands that are printed for the user to paste, and the arguments that start or resume a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import yaml

from operators.secrets import redact
from search.arguments import hydra_setting
from search.secrets import redact_settings
from target.words import command as plain_command

if TYPE_CHECKING:
    from pathlib import Path

    from search.runs.rundir import RunDirectory

_FLAGS_WITH_A_WORD: Final = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p")
FROM_PYTHON: Final = "run the Python program again that began it: it has a strategy, operator or target of its own"
"""What resumes a search that no command can start."""
_SWEEP_FLAGS: Final = ("-m", "--multirun")


def command(module: str, *words: str) -> str:
    """Return the command that starts a module of Graft, quoted for the shell, without secrets.

    Args:
        module: Its name, such as `search.final`.
        words: Its arguments, as the module gets them.
    """
    return redact_settings(redact(plain_command(module, *words)))


def named(arguments: Sequence[str], name: str) -> list[str]:
    """Return the arguments of `python -m search` with a name, which a search without one has from its start time.

    Args:
        arguments: The arguments, with or without a name.
        name: Name of the search or sweep.
    """
    others = [each for each in arguments if not each.startswith("name=")]
    return [*others, hydra_setting("name", name)]


def stored_arguments(run: RunDirectory, name: str) -> list[str]:
    """Return the arguments of `python -m search` that a search was started with, as its folder has them.

    Args:
        run: Its folder.
        name: Its name; searches of earlier versions recorded only the settings without it.
    """
    found = _stored(run.arguments)
    if found is None:
        found = stored_overrides(run)
    return named(found or [], name)


def stored_overrides(run: RunDirectory) -> list[str] | None:
    """Return the settings that a search was started with, as its folder has them; None if it has not."""
    return _stored(run.overrides)


def _stored(path: Path) -> list[str] | None:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    return [str(each) for each in found] if isinstance(found, list) else None


def resume_text(run: RunDirectory, name: str) -> str:
    """Return the command that resumes a search; for one with objects of a Python program, what to do instead.

    Args:
        run: Its folder.
        name: Its name.
    """
    try:
        is_from_python = yaml.safe_load(run.arguments.read_text(encoding="utf-8")) is None
    except (OSError, yaml.YAMLError):
        is_from_python = False
    return FROM_PYTHON if is_from_python else command("search", *stored_arguments(run, name))


def one_of_sweep(arguments: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the arguments that start one search of a sweep alone.

    Args:
        arguments: Those of the sweep; flags such as `--config-dir DIR` are kept.
        overrides: The settings of the one search, as Hydra has them.
    """
    flags: list[str] = []
    for word, before in zip(arguments, ("", *arguments), strict=False):
        if (word.startswith("-") or before in _FLAGS_WITH_A_WORD) and word not in _SWEEP_FLAGS:
            flags.append(word)
    return [*flags, *overrides]
