"""A tracker: one file for all searches, with a line of JSON for each verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from operators.population import Population
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.later import Finding


class Feed:
    """Adds a line for each verdict. A search that is resumed adds what is missing.

    Args:
        run: Folder of the search.
        name: Its name.
        warn: Shows a line to the user; this tracker has nothing to say.
        file: Where the lines go.
    """

    def __init__(self, *, run: RunDirectory, name: str, warn: Callable[[str], None], file: str) -> None:
        del warn
        self._run = run
        self._name = name
        self._file = Path(file)
        self._sent: set[int] | None = None

    def get_ready(self, seconds: float) -> None:
        """Do nothing: this tracker starts at once."""

    def update(self, population: Population, summary: Summary) -> None:
        """Add the trials that have a verdict and no line yet."""
        del summary
        if self._sent is None:
            self._sent = _numbers(self._file, self._name)
        for trial in population.decided:
            if trial.number not in self._sent:
                score = population.scores.get(trial.number)  # lower is better; None for a trial without a score
                value = None if score is None else self._run.metric.value(score)
                _add(self._file, search=self._name, trial=trial.number, status=trial.status.value, value=value)
                self._sent.add(trial.number)

    def close(self) -> str | None:
        """Return where to look."""
        return f"{self._file}  a line for each verdict"

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Add a line with what `graft transfer` found."""
        del run
        _add(Path(settings["file"]), search=finding.search, kind=finding.kind, title=finding.title, **finding.metrics)
        return f"added to {settings['file']}"


def _add(file: Path, **line: Any) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{json.dumps(line)}\n")


def _numbers(file: Path, name: str) -> set[int]:
    """Return the trials of a search that have a line."""
    if not file.exists():
        return set()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {line["trial"] for line in lines if line["search"] == name and "trial" in line}
