"""Tells the user that a language model or an agent answers, but gives no programs: nothing else shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from operators.population import Population
from operators.trial import Status, Trial
from search.runs.rundir import RunDirectory
from search.views.verdicts import one_line

_FIRST: Final = 8
"""Proposals without a program, one after another, after which the user is told; again after as many as were told."""
_SHOWN: Final = 300
_ADVICE: Final = {
    "suggest": "a larger model, or another llm.temperature, may help",
    "rewrite": "operator=suggest asks only for values of constants, which small models manage",
    "agent": "perhaps it may not edit files without asking, which its own settings decide",
}
_ELSE: Final = (
    "operator=suggest asks only for values of constants, and rewrite for the whole file: small models manage these"
)


class Unread:
    """Follows one session of a search.

    Args:
        run: Its folder.
        say: Shows a message to the user.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self._run = run
        self._say = say
        self._next = _FIRST

    def recorded(self, population: Population) -> None:
        """Tell the user if the latest answers gave no programs."""
        without = latest_without_program(population)
        if len(without) < self._next:
            self._next = _FIRST if not without else self._next
            return
        self._next = 2 * len(without)
        self._say(advice(without, self._run.trial(without[0].number)))


def latest_without_program(population: Population) -> list[Trial]:
    """Return the latest trials for which a model was asked, the last first, back to one that has a program."""
    found = list[Trial]()
    for trial in reversed(population.decided):
        if not trial.exchanges:
            continue  # another operator made it
        if trial.status is not Status.NOT_BUILT or trial.program is not None:
            break
        found.append(trial)
    return found


def advice(without: list[Trial], folder: Path) -> str:
    """Return what the user is told of proposals without a program.

    Args:
        without: The trials, the last first.
        folder: The folder of the last one, which has the model's answer.
    """
    last = without[0]
    reason = one_line(last.detail)
    reason = reason if len(reason) <= _SHOWN else f"{reason[: _SHOWN - 3]}..."
    worked = "the agent worked" if last.operator == "agent" else "the language model answered"
    return (
        f"the last {len(without)} proposals gave no program, although {worked}; the last reason: "
        f"{reason} ({folder / 'reply.md'} has the answer); {_ADVICE.get(last.operator, _ELSE)}"
    )
