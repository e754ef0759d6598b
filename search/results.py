"""What a search found, for Python programs and notebooks."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.population import Population
from operators.trial import Trial
from search.errors import UserError
from search.names import given_search
from search.runs.finished import read_summary
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory, diff
from search.runs.summary import Summary
from search.statistics import t_interval
from search.views.result_html import result_html
from search.views.verdicts import description_of
from target.metric import Metric

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best program of a search.

    Attributes:
        number: Number of its trial; 0 if nothing has beaten the seed program.
        source: The program.
        value: Its score in the metric of the target: mean of its trainings, corrected for their seeds.
        interval: 95 % interval (Student's t) of the value that many trainings would have; None as long as too few
            programs were trained on two seeds. It does not allow for the choice of the best of many, as `search.final`
            does.
        gain: By how much it is better than the seed program, in the same unit; positive is better.
        diff: What changed in it since the seed program, as a unified diff.
        description: What its last change was.
    """

    number: int
    source: str
    value: float
    interval: tuple[float, float] | None
    gain: float
    diff: str
    description: str


class Result:
    """A search as its folder has it: finished, stopped, or running elsewhere.

    Args:
        folder: The folder, such as `outputs/mar8`.

    Raises:
        UserError: It holds no search.
    """

    def __init__(self, folder: str | Path) -> None:
        self._run = RunDirectory(given_search(str(folder)))
        self.summary: Summary = read_summary(self._run)
        self.metric: Metric = self._run.metric

    @functools.cached_property
    def population(self) -> Population:
        """All trials with their trainings, read when it is first needed."""
        return read_population(self._run)

    @property
    def folder(self) -> Path:
        """The folder of the search."""
        return self._run.root

    @property
    def name(self) -> str:
        """Name of the search."""
        return self.summary.name

    @property
    def status(self) -> str:
        """`finished` by its budget, `stopped`, or `running`; `summary.stop_reason` says why."""
        return self.summary.status

    @property
    def baseline(self) -> float:
        """Score of the seed program, in the metric of the target.

        Raises:
            UserError: It has none yet.
        """
        self._champion()
        return self.metric.value(self.population.scores[0])

    @functools.cached_property
    def best(self) -> Best:
        """The best program.

        Raises:
            UserError: The seed program has no score yet.
        """
        trial = self._champion()
        seed_program, program = self.population.trials[0].program, trial.program
        assert seed_program and program, "a champion has a program"
        mean, error = self.population.posterior[trial.number]
        interval = t_interval(mean, error, self.population.noise_freedom)
        return Best(
            number=trial.number,
            source=program.source,
            value=self.metric.value(self.population.scores[trial.number]),
            interval=self.metric.ends(interval) if interval else None,
            gain=self.population.scores[0] - self.population.scores[trial.number],
            diff=diff(seed_program, program, self.metric.file),
            description=description_of(trial),
        )

    @functools.cached_property
    def trials(self) -> pandas.DataFrame:
        """All trials, one row each, by number.

        Columns: status; value (in the metric of the target) and its standard_error; change (value minus that of the
        first parent); n (trainings with a score); parents; operator; train_seconds; peak_memory_bytes; cost_usd;
        description; detail (why it failed); tie (whether a tie decided: `acceptance.prefer`).
        """
        import pandas  # half a second

        rows = [self._row(trial) for trial in self.population.trials]
        return pandas.DataFrame(rows).set_index("number") if rows else pandas.DataFrame()

    def __repr__(self) -> str:
        """Return the result in one line."""
        if self.population.champion is None:
            return f"<search {self.name}: {self.status}, the seed program has no score>"
        best = self.best
        return (
            f"<search {self.name}: {self.status}, {self.metric.name} {self.metric.text(self.population.scores[0])} -> "
            f"{self.metric.text(self.population.scores[best.number])} (trial #{best.number}), "
            f"{self.summary.trainings} trainings>"
        )

    def _repr_html_(self) -> str:
        return result_html(self.population, self.summary, self.metric, self._run)

    def _champion(self) -> Trial:
        if self.population.champion is None:
            raise UserError(f"{self.folder} has no best program: its seed program has no score yet")
        return self.population.champion

    def _row(self, trial: Trial) -> dict[str, Any]:
        scores, parents = self.population.scores, trial.proposal.parents
        score = scores[trial.number] if trial.scored else None
        parent = scores.get(parents[0]) if parents else None
        error = self.population.posterior[trial.number][1] if score is not None else math.inf
        value = self.metric.value
        return {
            "number": trial.number,
            "status": trial.status.value,
            "value": math.nan if score is None else value(score),
            "standard_error": error if math.isfinite(error) else math.nan,
            "change": math.nan if score is None or parent is None else value(score) - value(parent),
            "n": len(trial.values),
            "parents": parents,
            "operator": trial.operator,
            "train_seconds": sum(each.train_seconds for each in trial.evaluations),
            "peak_memory_bytes": max((each.peak_memory_bytes or 0 for each in trial.evaluations), default=0),
            "cost_usd": trial.cost_usd,
            "description": trial.mutation.description if trial.mutation else "",
            "detail": trial.detail or "",
            "tie": trial.tie,
        }
