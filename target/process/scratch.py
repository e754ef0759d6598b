"""Temporary directories; the next process removes those that a killed process left."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.process.trees import remove_or_set_aside

_PREFIX: Final = "graft-"
_LOCK: Final = "in-use"  # locked as long as the owner lives: the kernel releases it when the owner ends


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a temporary directory, and remove it at the end; also remove those whose owner died.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    unlocked = folder / "new"
    with unlocked.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder / _LOCK)  # locked before it gets this name, so no other process can take it
        _clear_away(folder.parent)
        try:
            yield folder
        finally:
            remove_or_set_aside(folder, last=_LOCK)


def _clear_away(parent: Path) -> None:
    for lock_file in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError), lock_file.open("r+") as lock:  # another user's, in use, or gone by now
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_or_set_aside(lock_file.parent, last=_LOCK)
