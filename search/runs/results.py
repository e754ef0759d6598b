"""results.tsv while a search runs: rows are appended as verdicts are given, instead of writing the table anew."""

from __future__ import annotations

from operators.population import Population
from search.errors import errors_of
from search.runs.rundir import RunDirectory, result_row


class ResultsTable:
    """Adds rows to results.tsv; the caller holds the lock of the run directory.

    Args:
        run: The folder of the search.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._rows = 0  # verdicts that have a row
        self._n_bytes = -1  # size of the file as this wrote it; -1 before that

    def append(self, population: Population) -> None:
        """Add the decided trials that have no row yet, in the order of their verdicts.

        The table is written as a whole the first time, and whenever the file is not as this left it.

        Raises:
            OSError: If it cannot be written; the old rows are unchanged.
        """
        path = self._run.results
        if not path.exists() or path.stat().st_size != self._n_bytes:
            self._run.append_results(population)
        elif added := population.decided[self._rows :]:
            rows = "".join("\t".join(result_row(trial, population)) + "\n" for trial in added)
            with errors_of(path), path.open("r+b", buffering=0) as file:
                file.seek(self._n_bytes)
                try:
                    file.write(rows.encode())
                except OSError:
                    file.truncate(self._n_bytes)  # or the next row would follow a part of this one
                    raise
        self._rows, self._n_bytes = len(population.decided), path.stat().st_size
