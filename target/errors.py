"""Failures caused by the user or the machine, never by a candidate."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


class TargetError(Exception):
    """The evaluation cannot be done here: a missing corpus, no device, a broken installation.

    It stops a search, which can be resumed; it never becomes a candidate's outcome.
    """


class DiskFullError(TargetError):
    """A disk has no room for what an evaluation needs. Nothing is broken: the user can free space."""


def disk_is_full(error: OSError) -> bool:
    """Return whether an error means that a disk is full, or the user's quota used up."""
    return error.errno in _FULL


@contextlib.contextmanager
def machine_errors(what: str, *, remedy: str = "") -> Iterator[None]:
    """Raise an `OSError` of the block as a `TargetError`: a failure of the machine.

    Args:
        what: What cannot be done.
        remedy: What to do about it.
    """
    try:
        yield
    except OSError as error:
        kind = DiskFullError if disk_is_full(error) else TargetError
        raise kind(f"{what}: {error}" + (remedy and f"; {remedy}")) from error
