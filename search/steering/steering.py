"""What a session does with the requests of its user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from operators.trial import Status, Trial
from search.acceptance import Verdict
from search.runs.rundir import RunDirectory
from search.steering.requests import Requests
from target.evaluation import Outcome


class Steering:
    """Follows the requests during one session; a pause of an earlier session has ended.

    Args:
        run: Folder of the search.
        say: Shows a message to the user.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self._requests = Requests(run)
        self._requests.unpause()
        self._say = say
        self.paused = False

    def look(self) -> bool:
        """Look whether the search is paused, tell the user when that has changed, and return it."""
        if self._requests.paused != self.paused:
            self.paused = not self.paused
            self._say("paused: nothing new begins" if self.paused else "goes on after the pause")
        return self.paused

    def skipped(self, waiting: Iterable[Trial]) -> Iterator[tuple[int, Verdict]]:
        """Yield the verdicts on trials that the user wants to leave out.

        Args:
            waiting: Trials of this session without a verdict for which nothing is under way.
        """
        if not (asked := self._requests.skips()):
            return
        for trial in waiting:
            failed = any(run.outcome is not Outcome.OK for run in trial.evaluations)  # that is its verdict
            if trial.number in asked and not failed:
                status = Status.DISCARD if trial.evaluations else Status.NOT_BUILT
                yield trial.number, Verdict(status, "skipped by the user")
