"""Temporary directories that a killed process leaves to the next one to clear away."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.process.trees import remove_or_set_aside

_PREFIX: Final = "graft-"
_LOCK: Final = "in-use"  # held as long as the owner lives: the kernel lets go of it, whatever ends the owner


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a temporary directory, and remove it at the end; those whose owner died are removed on the way.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    unlocked = folder / "new"
    with unlocked.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder / _LOCK)  # under this name it was never free to take
        _clear_away(folder.parent)
        try:
            yield folder
        finally:
            remove_or_set_aside(folder, last=_LOCK)


def _clear_away(parent: Path) -> None:
    for lock_file in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError), lock_file.open("r+") as lock:  # somebody else's, in use, or gone by now
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_or_set_aside(lock_file.parent, last=_LOCK)
