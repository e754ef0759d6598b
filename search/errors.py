"""Why a search ends other than by its budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """The input is wrong: nothing was started or lost; the message says what to do."""


class SeedProgramError(Exception):
    """The seed program does not score, so there is nothing to search from."""


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Have an `OSError` of the block name a file; that of a write to a full disk names none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
