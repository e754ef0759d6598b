"""Whether a search has one session or several at a time, and who does what: the seam between the ledger and both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from optuna.storages import JournalStorage

from search.runs.journal import mend_journal, open_journal

Work = tuple[int, int | None]
"""A trial's number, and the seed of one of its trainings; None for the trial: its proposal, its checks, its verdict."""


class Share(Protocol):
    """What a session shares with other sessions of its search. All is done by one thread."""

    def open(self, journal: Path) -> JournalStorage:
        """Open the ledger; `journal` is its file in this session's folder.

        Raises:
            UserError: It is damaged, or is not the ledger of this search.
            StorageError: Where it is shared cannot be reached.
        """

    def turn(self) -> AbstractContextManager[None]:
        """Read and write the ledger while no other session does. A turn inside a turn is a part of it.

        Raises:
            StorageError: Where it is shared cannot be reached.
        """

    def changes(self) -> Collection[int]:
        """Return the trials that other sessions have changed since the last call."""

    def claim(self, work: Work) -> None:
        """Take on a piece of work that no other session has."""

    def holds(self, work: Work) -> bool:
        """Return whether a piece of work that this session took on is still its own."""

    def release(self, work: Work) -> None:
        """Note that a piece of work is done."""

    def orphans(self, numbers: Iterable[int]) -> list[int]:
        """Return the trials, among those given, that no session has taken on."""

    @property
    def of_others(self) -> Collection[Work]:
        """The work that other sessions have taken on."""

    def require_same(self, what: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the first session of the search gave under that name, which is `given` if this is the first."""

    def publish(self, files: Sequence[Path]) -> None:
        """Give files of this session's folder to the other sessions; a file never changes."""

    def tell(self, say: Callable[[str], None]) -> None:
        """Show messages through `say` from now on."""

    def interrupt(self) -> None:
        """Stop waiting for what cannot be reached; safe to call from a signal handler."""

    def close(self) -> None:
        """Leave the search: other sessions may take on what is left. Safe to call twice."""


class Alone:
    """One session at a time, which holds the lock of its folder; the ledger is the journal there."""

    def __init__(self) -> None:
        self._claimed = set[Work]()

    def open(self, journal: Path) -> JournalStorage:
        """Repair the journal after a crash, and open it."""
        mend_journal(journal)
        return open_journal(journal)

    def turn(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def changes(self) -> Collection[int]:
        """Return nothing."""
        return ()

    def claim(self, work: Work) -> None:
        """Take on a piece of work."""
        self._claimed.add(work)

    def holds(self, work: Work) -> bool:  # noqa: ARG002 -- the protocol's
        """Return True."""
        return True

    def release(self, work: Work) -> None:
        """Note that a piece of work is done."""
        self._claimed.discard(work)

    def orphans(self, numbers: Iterable[int]) -> list[int]:
        """Return the trials that this session has not taken on: those of earlier sessions."""
        return [number for number in numbers if (number, None) not in self._claimed]

    @property
    def of_others(self) -> Collection[Work]:
        """Nothing."""
        return ()

    def require_same(self, what: str, given: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 -- as above
        """Return what is given."""
        return given

    def publish(self, files: Sequence[Path]) -> None:
        """Do nothing."""

    def tell(self, say: Callable[[str], None]) -> None:
        """Do nothing."""

    def interrupt(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
