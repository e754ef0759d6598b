"""Tells the other sessions of a search that this one is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable

from search.errors import UserError
from search.shared.database import Database, Unreachable


class Heartbeat:
    """A thread that raises the count of a session, with a connection of its own.

    Args:
        url: The database.
        session: Returns the number of the session.
        every_seconds: Between two beats.
    """

    def __init__(self, url: str, session: Callable[[], int], *, every_seconds: float) -> None:
        self._database = Database(url)
        self._session = session
        self._every_seconds = every_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._end.set()
        self._thread.join()
        self._database.disconnect()

    def _beat(self) -> None:
        while not self._end.wait(self._every_seconds):
            try:
                self._database.write("UPDATE graft_sessions SET beats = beats + 1 WHERE id = %s", (self._session(),))
            except (Unreachable, UserError):  # the session notices that itself, and waits
                self._database.disconnect()
