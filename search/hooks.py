"""Runs the user's commands when something happens in a search: a keep, a verdict, its end, many trials without a keep.

A command gets one JSON object on its standard input. Commands run one at a time in a thread of their own, with a time
limit, and end with all that they have started. Whatever a command does, the search goes on.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from operators.population import Population
from operators.trial import Status, Trial
from search.errors import UserError
from search.figures import delta_of, value_of
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.shell import run_shell
from search.stuck import NEVER_STUCK, StuckSettings

FOLDER: Final = "hooks"
_WAITING: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """The commands of the user, for a shell; None for none.

    Attributes:
        on_keep: After each new champion.
        on_verdict: After each verdict.
        on_stop: When the search ends, for whatever reason but a kill.
        on_stuck: After `stuck.trials` verdicts without a keep, and again after as many more.
        seconds: A command is stopped after this time.
    """

    on_keep: str | None = None
    on_verdict: str | None = None
    on_stop: str | None = None
    on_stuck: str | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise UserError(f"hooks.seconds must be positive, got {self.seconds:g}")

    def command(self, event: str) -> str | None:
        """Return the command of an event: `keep`, `verdict`, `stop` or `stuck`."""
        command: str | None = getattr(self, f"on_{event}")
        return command

    @property
    def is_empty(self) -> bool:
        """Whether there is no command."""
        return not any(getattr(self, each.name) for each in fields(self) if each.name.startswith("on_"))


NO_HOOKS: Final = HookSettings()


class Hooks:
    """Follows one session of a search, runs the commands, and tells the user when it is stuck.

    Args:
        settings: The commands.
        run: Folder of the search; the last output of each command is in `hooks/EVENT.log`.
        say: Shows a message to the user.
        stuck: When the search is stuck.
    """

    def __init__(
        self, settings: HookSettings, run: RunDirectory, say: Callable[[str], None], stuck: StuckSettings = NEVER_STUCK
    ) -> None:
        self._settings = settings
        self._run = run
        self._say = say
        self._stuck = stuck
        self._seen: int | None = None  # verdicts that were handled
        self._calls: queue.Queue[tuple[str, str] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._complaints: dict[str, str] = {}

    def recorded(self, population: Population, summary: Summary) -> None:
        """Start the commands for what is new; returns at once.

        Several verdicts of other sessions may be new at once. Of those, `stuck` is told only if no later one is a keep,
        because a keep ends it.
        """
        if self._settings.is_empty and self._stuck.trials is None:
            return
        decided = population.decided
        new = decided[len(decided) if self._seen is None else self._seen :]  # not the verdicts of earlier sessions
        self._seen = len(decided)
        fruitless = {trial.number: rank for rank, trial in enumerate(population.since_keep if new else (), start=1)}
        for trial in new:
            for event in self._events(trial, fruitless.get(trial.number, 0)):
                self._start(event, _record(event, trial, population, summary, self._run))
        if summary.status != "running":
            self._start("stop", _record("stop", None, population, summary, self._run))

    def close(self) -> None:
        """Run the commands for keeps and for the end that still wait, and leave out the others."""
        if self._thread is None:
            return
        waiting = []
        while not self._calls.empty():
            call = self._calls.get()
            waiting += [call] if call and call[0] != "verdict" else []
        for call in waiting[-3:]:  # the time that a user waits is bounded
            self._calls.put(call)
        self._calls.put(None)
        self._thread.join()
        self._thread = None
        if self._dropped:
            self._say(f"warning: hooks were slower than the search: {self._dropped} commands were not run")

    def _events(self, trial: Trial, without: int) -> Iterator[str]:
        """Yield what a verdict means, the last of that many without a keep; 0 if there was a keep since."""
        yield "verdict"
        if trial.status is Status.KEEP:
            yield "keep"
        elif without and self._stuck.trials and not without % self._stuck.trials:
            self._say(self._stuck.text(without))
            yield "stuck"

    def _start(self, event: str, record: dict[str, Any]) -> None:
        if not self._settings.command(event):
            return
        if self._calls.qsize() >= _WAITING:
            self._dropped += 1
            return
        self._calls.put((event, json.dumps(record)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            event, text = call
            complaint = self._call(event, text)
            if complaint and complaint != self._complaints.get(event):
                self._say(f"warning: hooks.on_{event} {complaint}; the search goes on")
            self._complaints[event] = complaint

    def _call(self, event: str, text: str) -> str:
        """Run a command; return what went wrong, or an empty text."""
        log = self._run.root / FOLDER / f"{event}.log"
        command, seconds = str(self._settings.command(event)), self._settings.seconds
        return run_shell(command, log, stdin=text, seconds=seconds, limit="hooks.seconds")


def _record(
    event: str, trial: Trial | None, population: Population, summary: Summary, run: RunDirectory
) -> dict[str, Any]:
    """Return what a command is told."""
    return {
        "event": event,
        "search": summary.name,
        "directory": str(run.root.absolute()),
        "trial": None if trial is None else _trial(trial, population, run),
        "summary": summary.to_json(run.metric),
    }


def _trial(trial: Trial, population: Population, run: RunDirectory) -> dict[str, Any]:
    metric, value, delta = run.metric, value_of(trial, population), delta_of(trial, population)
    return {
        metric.name: None if value is None else metric.value(value),
        "number": trial.number,
        "status": trial.status.value,
        "change_from_parent": metric.value(delta.amount) if delta and not delta.marked else None,
        "parents": list(trial.proposal.parents),
        "operator": trial.operator,
        "description": trial.mutation.description if trial.mutation else "",
        "detail": trial.detail,
        "tie": trial.tie,
        "directory": str(run.trial(trial.number).absolute()),
    }
