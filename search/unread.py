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
        self._looked = 0  # verdicts that were looked at
        self._without = list[Trial]()  # the latest trials for which a model was asked, back to one that has a program

    def recorded(self, population: Population) -> None:
        """Tell the user if the latest answers gave no programs."""
        for trial in population.decided[self._looked :]:
            if not trial.exchanges:
                continue  # another operator made it
            if trial.status is Status.NOT_BUILT and trial.program is None:
                self._without.append(trial)
            else:
                self._without, self._next = [], _FIRST
        self._looked = len(population.decided)
        if len(self._without) >= self._next:
            self._next = 2 * len(self._without)
            self._say(advice(self._without, self._run.trial(self._without[-1].number)))


def advice(without: list[Trial], folder: Path) -> str:
    """Return what the user is told of proposals without a program.

    Args:
        without: The trials, the last one last.
        folder: The folder of the last one, which has the model's answer.
    """
    last = without[-1]
    reason = one_line(last.detail)
    reason = reason if len(reason) <= _SHOWN else f"{reason[: _SHOWN - 3]}..."
    worked = "the agent worked" if last.operator == "agent" else "the language model answered"
    return (
        f"the last {len(without)} proposals gave no program, although {worked}; the last reason: "
        f"{reason} ({folder / 'reply.md'} has the answer); {_ADVICE.get(last.operator, _ELSE)}"
    )
