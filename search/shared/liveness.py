"""Which sessions of a search are dead, without comparing clocks of hosts."""

from __future__ import annotations

from collections.abc import Mapping


class Liveness:
    """Follows the heartbeats of sessions, as counts that grow.

    A session is dead if its count has not grown for some time by the clock of this process, all of which this process
    could read the counts. So it does not matter whether the clocks of hosts agree, and a database that was away for a
    minute makes no session look dead.

    Args:
        patience_seconds: That time.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._seen: dict[int, tuple[int, float]] = {}  # by session: its count, and when it was first seen

    def forget(self) -> None:
        """Begin anew, because the counts could not be read for a while."""
        self._seen.clear()

    def dead(self, beats: Mapping[int, int], now: float) -> set[int]:
        """Return the dead sessions.

        Args:
            beats: The count of each session.
            now: Monotonic seconds.
        """
        self._seen = {
            session: known if (known := self._seen.get(session)) and known[0] == count else (count, now)
            for session, count in beats.items()
        }
        return {session for session, (_, since) in self._seen.items() if now - since > self._patience_seconds}
