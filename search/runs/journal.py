"""The journal as a file: only whole lines are appended; it is checked before use and repaired after a crash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock

from search.errors import UserError, errors_of
from search.runs.chain import Chain, ChainError
from search.runs.lock import without_locks

REPLAY_ERRORS: Final = (
    *(KeyError, IndexError, TypeError, ValueError, AttributeError),
    *(AssertionError, RecursionError, RuntimeError, OverflowError, optuna.exceptions.OptunaError),
)
"""Errors when a record of another form is read."""

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)  # Optuna's lock is a symbolic link

_WRITER_DIGITS: Final = 4
_OF_A_NEW_TRIAL: Final = frozenset(
    {"value", "values", "distributions", "params", "system_attrs", "intermediate_values"}
)


class JournalFile(JournalFileBackend):
    """Optuna's journal, but each line carries its number and hash, and lines are written whole or not at all.

    Optuna names the writer of each line by 52 characters; the file has a few of their hash instead. What is empty in a
    new trial is left out; Optuna reads that as empty.
    """

    def __init__(self, path: Path) -> None:
        self._lines_lock = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), lock_obj=self._lines_lock)
        self._path = path
        self._chain = Chain()
        self._writers: dict[str, str] = {}  # Optuna's names for this process, by the short ones

    @property
    def end(self) -> Chain:
        """Where the lines end that this has written or read for writing."""
        return replace(self._chain)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all of them or none.

        Raises:
            OSError: If they cannot be written.
            UserError: The lines before them are not those that were written, or no lock can be made there.
        """
        with self._locked(), errors_of(self._path), FileIO(self._path, "r+") as file:
            end = self._followed(file)
            size = end.n_bytes
            self._write(file, size, self.sealed(logs, end), end)

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Append lines that were written elsewhere, all of them or none.

        Raises:
            OSError: If they cannot be written.
            ChainError: They do not follow the lines of this file.
            UserError: As `append_logs`.
        """
        with self._locked(), errors_of(self._path), FileIO(self._path, "r+") as file:
            end, lines = self._followed(file), list(lines)
            size = end.n_bytes
            for line in lines:
                end.follow(line)
            self._write(file, size, lines, end)

    def follow(self) -> Chain:
        """Read to the end of the file, and return where that is.

        Raises:
            UserError: As `append_logs`.
        """
        with errors_of(self._path), FileIO(self._path, "r") as file:
            self._chain = self._followed(file)
        return self.end

    def sealed(self, logs: Iterable[Mapping[str, Any]], end: Chain) -> list[bytes]:
        """Return records as lines that follow `end`, which is moved behind them; nothing is written."""
        lines = list[bytes]()
        for log in logs:
            lines.append(end.seal(self._brief(log)))
            end.follow(lines[-1])
        return lines

    def _write(self, file: FileIO, size: int, lines: Iterable[bytes], end: Chain) -> None:
        try:
            _write(file, b"".join(line + b"\n" for line in lines))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)  # or the next line would follow a part of this one
            raise
        self._chain = end

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # a generator too
        """Yield the lines from a number on, those of this process under the names that Optuna gave."""
        yield from map(self.named, super().read_logs(log_number_from))

    def named(self, log: dict[str, Any]) -> dict[str, Any]:
        """Return a line as read, under the name that Optuna gave to its writer if that is this process."""
        return {**log, "worker_id": self._writers.get(log["worker_id"], log["worker_id"])}

    def _brief(self, log: Mapping[str, Any]) -> dict[str, Any]:
        writer = log["worker_id"]
        short = hashlib.sha256(writer.encode()).hexdigest()[:_WRITER_DIGITS]
        self._writers[short] = writer
        absent = _OF_A_NEW_TRIAL if "distributions" in log else frozenset()
        return {key: log[key] for key in log if log[key] or key not in absent} | {"worker_id": short}

    def _followed(self, file: FileIO) -> Chain:
        """Follow the chain to the end of the file and return it: Optuna may have appended lines too."""
        chain, size = replace(self._chain), os.fstat(file.fileno()).st_size
        file.seek(chain.n_bytes)
        content = file.read(max(0, size - chain.n_bytes))
        if size < chain.n_bytes or (content and not content.endswith(b"\n")):
            raise UserError(
                f"{self._path}: its end was cut off or is half a line, although the search was writing to it; the "
                "search stops: restore the file if you changed it, then run the same command again"
            )
        for line in content.split(b"\n")[:-1]:
            _follow(chain, line, self._path)
        return chain

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._lines_lock.acquire()
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise without_locks(self._path.parent, error) from error
            raise
        try:
            yield
        finally:
            self._lines_lock.release()


def open_journal(journal: Path, backend: BaseJournalBackend | None = None) -> JournalStorage:
    """Open a journal.

    Args:
        journal: The file.
        backend: What reads and writes it; None for the file alone.

    Raises:
        UserError: Its lines are not an Optuna journal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return JournalStorage(backend or JournalFile(journal))
    except REPLAY_ERRORS as error:
        raise UserError(
            f"{journal}: every line is JSON, but together they are not an Optuna journal "
            f"({type(error).__name__}: {error}); restore the file or start a new run"
        ) from error


def check_journal(journal: Path) -> bytes:
    """Return the incomplete last line of a journal, usually nothing.

    Raises:
        UserError: It is damaged before that, or lines were changed, dropped, duplicated or moved.
    """
    if not journal.exists():
        return b""
    *lines, tail = journal.read_bytes().split(b"\n")
    chain = Chain()
    for line in lines:
        _follow(chain, line, journal)
    if _is_whole(tail):
        _follow(chain, tail, journal)
    return tail


def mend_journal(journal: Path) -> None:
    """Repair what a crash during a write left: complete the last line, or cut it off and save it in another file.

    Raises:
        UserError: As `check_journal`.
    """
    tail = check_journal(journal)
    if not tail:
        return
    if _is_whole(tail):
        with journal.open("ab") as file:
            file.write(b"\n")
        return
    with journal.with_name(journal.name + ".torn").open("ab") as aside:
        aside.write(tail + b"\n")
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - len(tail))


def _follow(chain: Chain, line: bytes, journal: Path) -> None:
    try:
        chain.follow(line)
    except ChainError as error:
        raise UserError(
            f"{journal}:{chain.lines + 1}: {error}; this is not the result of a crash: restore the file from a copy, "
            "or start a new run under another name"
        ) from error


def _is_whole(tail: bytes) -> bool:
    """Return whether a line is complete except for its line break."""
    try:
        json.loads(tail)
    except (ValueError, RecursionError):
        return False
    return True


def _write(file: FileIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]
