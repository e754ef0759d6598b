"""Where a search is shown by a tracker: one place for all searches of a sweep, and one for each other search."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory

_SWEEPS: Final = "sweeps/"
_DIFFERING: Final = re.compile(r"(?:^|,)([\w.@]+)=")
ID_CHARACTERS: Final = 6  # of an id, in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The experiment or group of a search.

    Attributes:
        name: Its name, if no other search or sweep has it.
        owner: Id of the search or sweep that it belongs to.
        differing: Settings that differ between the searches of a sweep; empty for a search on its own.
    """

    name: str
    owner: str
    differing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """The names that it may have; an older search of the same name keeps the first."""
        return self.name, f"{self.name} {self.owner[:ID_CHARACTERS]}"


def place_of(run: RunDirectory, name: str) -> Place:
    """Return the place of a search.

    Args:
        run: Its folder.
        name: Its name; that of a search in a sweep has the name of the sweep in front.
    """
    sweep, _, own = name.rpartition("/")
    if not sweep.startswith(_SWEEPS):
        return Place(name=name, owner=id_of(run.root))
    return Place(name=sweep, owner=id_of(run.root.parent), differing=tuple(_DIFFERING.findall(own)) or ("strategy",))


def id_of(folder: Path) -> str:
    """Return an id that distinguishes the search or sweep in a folder from others of its name; it is stored there."""
    path = folder / ".search_id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    with _locked(folder):  # two searches of a sweep may begin together
        if not path.exists():
            write_atomically(path, uuid.uuid4().hex)
    return path.read_text(encoding="ascii").strip()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
