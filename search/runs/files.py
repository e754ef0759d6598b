"""Files that are replaced atomically: after a crash, and for readers, there is the old one or the new one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from search.errors import errors_of

_UNFINISHED: Final = ".part"  # suffix of files that are being written; their names begin with a dot


def write_atomically(path: Path, text: str) -> None:
    """Replace a file atomically: it holds the old text or the new one, never a part.

    Lone surrogates, which models sometimes produce, are written as escapes.

    Raises:
        OSError: If it cannot be written; the old file is unchanged.
    """
    content = text.encode(errors="backslashreplace")
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file replaces `path` if the block ends without an error.

    Raises:
        OSError: If it cannot be written; it names `path`, not the unfinished file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_UNFINISHED}")
    try:
        with errors_of(path):
            yield unfinished
            unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def unfinished_below(root: Path) -> Iterator[Path]:
    """Yield the unfinished files that a killed process left in a directory or below it."""
    return root.rglob(f".*{_UNFINISHED}")
