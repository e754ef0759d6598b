"""The directory that every run shares: prepared corpora, downloads."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from target.errors import TargetError


def cache_root() -> Path:
    """Return the directory: $GRAFT_CACHE, $XDG_CACHE_HOME/graft or ~/.cache/graft."""
    if own := os.environ.get("GRAFT_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "graft"


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, for work that one process does while the others wait.

    Raises:
        TargetError: The file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise TargetError(
                f"the cache must be on a file system with locks, {path.parent} has none ({error.strerror}): "
                "export GRAFT_CACHE=DIR, on a local disk"
            ) from error
        yield


def file_sha256(path: Path) -> str:
    """Return the hash of a file, however large, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
