"""One search per run directory: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from search.errors import UserError, errors_of


def holder(path: Path) -> str | None:
    """Return which process holds the lock of a run directory; None if none does. The lock is not taken."""
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _name_in(file)
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory.

    Raises:
        UserError: If another process holds it, or the file system has no locks.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{path.parent} is in use by {_name_in(file)}; wait for it, or choose another name"
            ) from error
        except OSError as error:
            raise without_locks(path.parent, error) from error
        file.truncate(0)
        with errors_of(path):
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield


def without_locks(folder: Path, error: OSError) -> UserError:
    """Return the message for a file system that refuses a lock, such as NFS without its lock service."""
    return UserError(
        f"outputs must be on a file system with locks, {folder} has none ({error.strerror}): give outputs=DIR on a "
        "local disk"
    )


def _name_in(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
