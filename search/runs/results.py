"""results.tsv: one row per decided trial, in the order of the verdicts.

A new row is appended. The value and the delta of an earlier trial change when later trainings tell more about the
training seeds. Then its row is overwritten in place, by one of the same length: `tail -f` goes on, and a reader never
finds a part of a row. The table is replaced atomically if a length changes.

Earlier rows are brought up to date at most so often that a verdict costs the update of `_UPDATES_PER_VERDICT` rows. So
the rows of a table of a thousand verdicts are at most ten verdicts old. At the end of a search all rows are exact.
"""

from __future__ import annotations

from typing import Final

from operators.population import Population
from operators.trial import Trial
from search.errors import errors_of
from search.figures import delta_of, value_of
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from target.metric import Metric
from target.printable import printable

_BEFORE: Final = ("number", "status")
_AFTER: Final = (
    "delta",
    "against",
    "n",
    "parents",
    "operator",
    "train_seconds",
    "peak_memory_gb",
    "cost_usd",
    "description",
)
_UPDATES_PER_VERDICT: Final = 100
_DESCRIPTION_CHARACTERS: Final = 500


def columns_of(metric: Metric) -> tuple[str, ...]:
    """Return the names of the columns."""
    return (*_BEFORE, metric.key((*_BEFORE, *_AFTER)), *_AFTER)


class ResultsTable:
    """Keeps results.tsv up to date; the caller holds the lock of the run directory.

    Args:
        run: The folder of the search.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._path = run.results
        self._metric = run.metric
        self._rows: list[bytes] = []  # as they are in the file
        self._n_bytes = -1  # size of the file as this left it; -1 before that
        self._updates = 0  # of rows, that the verdicts since the last update pay for
        self._fixed: dict[int, tuple[Trial, list[str]]] = {}  # cells by trial; only the figures among them change

    def write(self, population: Population, *, exact: bool = True) -> None:
        """Add the decided trials that have no row yet, and bring earlier rows up to date.

        Args:
            population: The trials.
            exact: Whether all earlier rows must be up to date; otherwise they are if that costs little.

        Raises:
            OSError: If it cannot be written; every row in the file is whole, and the next call repairs the others.
        """
        self._metric = self._run.metric  # of a new search it is known when the first trial has begun
        decided = population.decided
        self._updates += _UPDATES_PER_VERDICT * (len(decided) - len(self._rows))
        if not self._path.exists() or self._path.stat().st_size != self._n_bytes:
            self._replace([self._row(trial, population) for trial in decided])
        elif exact or self._updates >= len(decided):
            self._update([self._row(trial, population) for trial in decided])
        else:
            if added := [self._row(trial, population) for trial in decided[len(self._rows) :]]:
                self._overwrite(len(self._rows), added)
            return
        self._updates = 0

    def _update(self, rows: list[bytes]) -> None:
        if any(len(old) != len(new) for old, new in zip(self._rows, rows, strict=False)):
            self._replace(rows)
            return
        pairs = enumerate(zip(self._rows, rows, strict=False))
        first = next((index for index, (old, new) in pairs if old != new), len(self._rows))
        if first < len(rows):
            self._overwrite(first, rows[first:])

    def _overwrite(self, first: int, rows: list[bytes]) -> None:
        """Write rows over those that follow the first ones, and beyond the last one."""
        with errors_of(self._path), self._path.open("r+b", buffering=0) as file:
            file.seek(self._n_bytes - sum(map(len, self._rows[first:])))
            try:
                file.write(b"".join(rows))
            except OSError:
                file.truncate(self._n_bytes)  # or the next row would follow a part of this one
                raise
        self._rows[first:] = rows
        self._n_bytes = self._path.stat().st_size

    def _replace(self, rows: list[bytes]) -> None:
        header = "\t".join(columns_of(self._metric)) + "\n"
        write_atomically(self._path, header + b"".join(rows).decode())
        self._rows, self._n_bytes = rows, self._path.stat().st_size

    def _row(self, trial: Trial, population: Population) -> bytes:
        known = self._fixed.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._fixed[trial.number] = (trial, _fixed_cells(trial))
        first, second, *rest = known[1]
        return ("\t".join((first, second, *_figure_cells(trial, population, self._metric), *rest)) + "\n").encode()


def _figure_cells(trial: Trial, population: Population, metric: Metric) -> tuple[str, str, str]:
    """Return the cells that can change after the verdict."""
    value, delta = value_of(trial, population), delta_of(trial, population)
    return (
        "" if value is None else f"{metric.value(value):.6f}",
        "" if delta is None else f"{metric.value(delta.amount):+.6f}",
        "" if delta is None else str(delta.against),
    )


def _fixed_cells(trial: Trial) -> list[str]:
    """Return the other cells, in order: two in front of the figures, the rest after them."""
    peak = max((run.peak_memory_bytes or 0 for run in trial.evaluations), default=0)
    text = trial.mutation.description if trial.mutation else ""
    said = f"{trial.marks} {text} {trial.detail and f'[{trial.detail}]'}"
    return [
        str(trial.number),
        trial.status.value,
        str(len(trial.values)),
        ",".join(str(parent) for parent in trial.proposal.parents),
        trial.operator,
        f"{sum(run.train_seconds for run in trial.evaluations):.1f}",
        f"{peak / 1e9:.3f}" if peak else "",
        f"{trial.cost_usd:.4f}",
        printable(" ".join(said.split()))[:_DESCRIPTION_CHARACTERS],
    ]
