"""The sessions of a search: which there are, which are dead, and what each has taken on."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from search.errors import UserError
from search.runs.files import write_atomically
from search.runs.share import Work
from search.shared.database import Database
from search.shared.liveness import Liveness

_WORK: Final = re.compile(r"(\d+)(?: seed (-?\d+))?")


class Members:
    """What the database says of the sessions of a search; every call but `forget_predecessor` is within a turn.

    Args:
        database: Where it is.
        search: Number of the search there.
        place: A file in the folder of this session, which says which session the folder had.
        takeover_seconds: A session without a heartbeat for this time is dead.

    Attributes:
        own: Number of this session; 0 before it has entered.
        claims: What is taken on, and by which session.
    """

    def __init__(self, database: Database, search: int, place: Path, takeover_seconds: float) -> None:
        self.own = 0
        self.claims: dict[Work, int] = {}
        self._database = database
        self._search = search
        self._place = place
        self._takeover_seconds = takeover_seconds
        self._liveness = Liveness(takeover_seconds)

    def forget_predecessor(self) -> None:
        """Retire the session that was killed in this folder: nothing else can hold the folder's lock."""
        try:
            known = json.loads(self._place.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if known["host"] == socket.gethostname():  # or the folder is a copy from elsewhere
            self._retire({int(known["session"])})

    def enter(self) -> None:
        """Write this session into the list of sessions, under a new number."""
        ((self.own,),) = self._database.rows(
            "INSERT INTO graft_sessions (search, holder) VALUES (%s, %s) RETURNING id",
            (self._search, f"process {os.getpid()} on {socket.gethostname()}"),
        )
        write_atomically(self._place, json.dumps({"session": self.own, "host": socket.gethostname()}))

    def leave(self) -> None:
        """Remove this session, and leave its work to the others."""
        self._retire({self.own})
        self._place.unlink(missing_ok=True)

    def read(self) -> Iterator[str]:
        """Bring this up to date, and take the work of dead sessions from them; yield messages for the user."""
        listed = self._database.rows(
            "SELECT id, beats, holder FROM graft_sessions WHERE search = %s ORDER BY id", (self._search,)
        )
        others = {number: beats for number, beats, _ in listed if number != self.own}
        if self.own and len(others) == len(listed):
            yield "other sessions took this one for dead, and have taken over its trials; it goes on with new ones"
            self.enter()
        if dead := self._liveness.dead(others, time.monotonic()):
            names = " and ".join(holder for number, _, holder in listed if number in dead)
            yield f"no heartbeat of {names} for {self._takeover_seconds:g} s: taking over"
            self._retire(dead)
        claims = self._database.rows("SELECT work, session FROM graft_claims WHERE search = %s", (self._search,))
        self.claims = {_work(text): session for text, session in claims}

    def lost(self) -> None:
        """Note that the database could not be reached for a while, so that silence says nothing of the others."""
        self._liveness.forget()

    def _retire(self, sessions: Collection[int]) -> None:
        self._database.write(
            "WITH gone AS (DELETE FROM graft_sessions WHERE search = %(search)s AND id = ANY(%(listed)s)) "
            "DELETE FROM graft_claims WHERE search = %(search)s AND session = ANY(%(listed)s)",
            {"search": self._search, "listed": list(sessions)},
        )


def text_of(work: Work) -> str:
    """Return a piece of work as the database has it, such as `17` or `17 seed 3`."""
    number, seed = work
    return str(number) if seed is None else f"{number} seed {seed}"


def _work(text: str) -> Work:
    found = _WORK.fullmatch(text)
    if found is None:
        raise UserError(f"the database has a claim on {text!r}; it was changed by hand")
    return int(found[1]), None if found[2] is None else int(found[2])
