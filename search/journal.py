"""The journal as a file: appended whole lines or nothing, checked before it is believed, mended after a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.errors import UserError, errors_of

REPLAY_ERRORS: Final = (
    *(KeyError, IndexError, TypeError, ValueError, AttributeError),
    *(AssertionError, RecursionError, RuntimeError, OverflowError, optuna.exceptions.OptunaError),
)
"""What reading a record of another form ends in."""


class _JournalFile(JournalFileBackend):
    """Optuna's journal, but a line that cannot be written whole is taken back: others would come to stand behind it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all of them or none.

        Raises:
            OSError: If they cannot be written.
        """
        size = self._path.stat().st_size
        try:
            with errors_of(self._path):
                super().append_logs(logs)
        except OSError:
            os.truncate(self._path, size)
            raise


def open_journal(journal: Path) -> JournalStorage:
    """Open a journal.

    Raises:
        UserError: Its lines are no Optuna journal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return JournalStorage(_JournalFile(journal))
    except REPLAY_ERRORS as error:
        raise UserError(
            f"{journal}: every line is JSON, but together they are no Optuna journal "
            f"({type(error).__name__}: {error}); restore the file or start a new run"
        ) from error


def check_journal(journal: Path) -> bytes:
    """Return the torn tail of a journal, usually nothing.

    Raises:
        UserError: It is damaged in front of that.
    """
    if not journal.exists():
        return b""
    *lines, tail = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{journal}:{number}: not JSON ({error}); the ledger is damaged inside, where a crash leaves no marks: "
                "restore the file from a copy, or start a new run"
            ) from error
    return tail


def mend_journal(journal: Path) -> None:
    """Finish what a crash in the middle of a write left: complete the line, or cut it off and set it aside."""
    tail = check_journal(journal)
    if not tail:
        return
    try:
        json.loads(tail)
    except (ValueError, RecursionError):
        with journal.with_name(journal.name + ".torn").open("ab") as aside:
            aside.write(tail + b"\n")
        with journal.open("r+b") as file:
            file.truncate(journal.stat().st_size - len(tail))
    else:
        with journal.open("ab") as file:
            file.write(b"\n")
