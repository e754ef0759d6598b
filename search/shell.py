"""Runs a command of the user by the shell, with a time limit, and says what went wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from operators.agent.command import Cost, run_command
from target.printable import printable

_FREE: Final = Cost(file=None, pattern=None)
_SHOWN_CHARACTERS: Final = 200


def run_shell(command: str, log: Path, *, stdin: str, seconds: float, limit: str) -> str:
    """Run a command in the working directory, with the environment of this process; it blocks.

    Args:
        command: The command, for `/bin/sh`.
        log: Gets its output; the folder is made.
        stdin: Its standard input.
        seconds: It is stopped after this time, with all that it has started.
        limit: Name of the setting with that time.

    Returns:
        What went wrong, such as `failed with status 1: no such file`; empty if its status was 0.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        ended = run_command(
            ["/bin/sh", "-c", command],
            Path.cwd(),
            log,
            stdin=stdin,
            environment=os.environ,
            seconds=seconds,
            usd=None,
            cost=_FREE,
        )
    except OSError as error:
        return f"could not be started: {error}"
    if ended.stopped:
        return f"did not end within {limit}={seconds:g} and was stopped"
    last = printable(ended.output.strip().rpartition("\n")[2])[:_SHOWN_CHARACTERS]
    return f"failed with status {ended.status}" + (last and f": {last}") if ended.status else ""
