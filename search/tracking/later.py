"""What a command sends to the tracker of a search that has ended: the search again, or something found about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.population import Population
from search.construct import instantiate
from search.named import named
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.guarded import GuardedTracker, attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something found about a search after its end, which becomes a run of its own.

    Attributes:
        kind: What it is, such as `transfer`.
        search: Name of the search.
        title: Name of the run; a finding with the same title replaces it where the tracker can do that.
        note: Its description, in Markdown.
        metrics: Its figures.
        tags: What else is known of it.
        files: Its files, by absolute paths.
    """

    kind: str
    search: str
    title: str
    note: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Sequence[Path] = field(default=())


def send_again(
    run: RunDirectory,
    tracker: Mapping[str, Any],
    population: Population,
    summary: Summary,
    warn: Callable[[str], None],
) -> str | None:
    """Send a search to its tracker, which may lack what was found since its end; return where to look, if known.

    Args:
        run: Its folder.
        tracker: The settings of its tracker.
        population: Its trials.
        summary: Its end.
        warn: Is called with a line about each problem.
    """
    with run.where_started() as there:
        made = GuardedTracker(instantiate(tracker, "tracker")(run=there, name=summary.name, warn=warn), warn)
        made.update(population, summary)
        return made.close()


def record(finding: Finding, run: RunDirectory, tracker: Mapping[str, Any]) -> str:
    """Send a finding to a tracker; return a message for the user, empty if the tracker keeps none.

    Args:
        finding: What was found.
        run: The folder of the search.
        tracker: The settings of the tracker.
    """
    keep = getattr(named(tracker, "tracker"), "record", None)  # a function that makes trackers has none
    if keep is None:
        return ""
    settings = {name: value for name, value in tracker.items() if not name.startswith("_")}
    problems = list[str]()
    with run.where_started() as there:
        said: str | None = attempt(lambda: keep(finding, there, settings), problems.append)
    return said or "".join(f"not sent to the tracker {tracker['_target_']}: {problem}" for problem in problems)
