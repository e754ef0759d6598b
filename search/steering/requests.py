"""The files in a search's folder by which commands ask something of it. They are read as often as the search looks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from operators.population import Population
from operators.secrets import redact
from search.errors import UserError
from search.runs.rundir import RunDirectory

FOLDER = "steering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """A sentence of the user for the model.

    Attributes:
        text: The sentence.
        trials: Number of trials of the search when it was given.
        proposals: So many proposals get it.
    """

    text: str
    trials: int
    proposals: int

    def is_for(self, number: int) -> bool:
        """Return whether the proposal of a trial gets it."""
        return self.trials <= number < self.trials + self.proposals


class Requests:
    """What was asked of one search.

    Args:
        run: Its folder.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.root / FOLDER

    @property
    def paused(self) -> bool:
        """Whether the search is to begin nothing new."""
        return self._pause.exists()

    def pause(self) -> None:
        """Ask it to begin nothing new."""
        self._folder.mkdir(exist_ok=True)
        self._pause.touch()

    def unpause(self) -> None:
        """Ask it to go on."""
        self._pause.unlink(missing_ok=True)

    def skip(self, number: int) -> None:
        """Ask it to leave out a trial."""
        self._append(self._skips, str(number))

    def skips(self) -> set[int]:
        """Return the trials to leave out."""
        return {int(line) for line in _lines(self._skips) if line.isdecimal()}

    def give(self, idea: Idea) -> None:
        """Give an idea; keys and passwords in it are redacted."""
        self._append(self._ideas, json.dumps({**asdict(idea), "text": redact(idea.text)}))

    def ideas(self) -> list[Idea]:
        """Return all ideas, in order.

        Raises:
            UserError: The file was damaged.
        """
        try:
            return [Idea(**json.loads(line)) for line in _lines(self._ideas)]
        except (ValueError, TypeError) as error:
            raise UserError(f"{self._ideas} has a line that is no idea ({error}): remove it") from error

    def ideas_for(self, population: Population) -> tuple[str, ...]:
        """Return the ideas for the proposal that was made last."""
        number = len(population.trials) - 1
        return tuple(idea.text for idea in self.ideas() if idea.is_for(number))

    @property
    def _pause(self) -> Path:
        return self._folder / "pause"

    @property
    def _skips(self) -> Path:
        return self._folder / "skip.txt"

    @property
    def _ideas(self) -> Path:
        return self._folder / "ideas.jsonl"

    def _append(self, path: Path, line: str) -> None:
        """Append a line in one write, so that a reader never sees a part of it."""
        self._folder.mkdir(exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    yield from text.splitlines()
