"""Errors that end a search before its budget is used up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """The input is wrong: nothing was started or lost; the message says what to do."""


class PartError(UserError):
    """A class of the user's does not do in a search what its group demands: after a fix, the search can be resumed."""


class StorageError(Exception):
    """The database of a shared ledger does not answer; the search can be resumed when it does."""


class SeedProgramError(Exception):
    """The seed program does not score, so there is nothing to search from."""


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Add a file name to an `OSError` raised in the block; the error of a write to a full disk has none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
