"""What is sent to MLflow of the state of a search: the trials that it lacks, their descriptions, and the summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from operators.population import Population
from operators.trial import Trial
from search.mlflow.store import MlflowStore
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.notes import search_note, trial_note
from search.tracking.parameters import search_parameters
from search.tracking.records import trial_record
from target.metric import Metric


class MlflowMirror:
    """The runs of one search in MLflow. After an error it is not used any more: a new one asks what has arrived.

    Args:
        run: Folder of the search.
        name: Its name.
        tracking_uri: Where MLflow keeps its records.

    Raises:
        StoreLockedError: Another process has locked the database.
    """

    def __init__(self, run: RunDirectory, name: str, tracking_uri: str) -> None:
        self._run = run
        self._parameters: dict[str, str] = {}
        self._store = MlflowStore(run, name, tracking_uri)
        self._sent: dict[int, tuple[Trial, Trial | None]] = {}
        self._children: dict[int, set[int]] = defaultdict(set)

    @property
    def experiment_id(self) -> str:
        """The experiment of the search."""
        return self._store.experiment_id

    def refuse_locked(self) -> None:
        """Refuse a database that another process has locked.

        Raises:
            StoreLockedError: It is locked.
        """
        self._store.refuse_locked()

    def send(self, population: Population, summary: Summary, *, closing: bool) -> Iterator[int]:
        """Send what is missing, and yield the number of each trial that has arrived; one without a program is counted.

        Args:
            population: All trials.
            summary: The state of the search.
            closing: Whether this is the last call: then the scores, which later trials change a little, are corrected.
        """
        self._parameters = self._parameters or search_parameters(self._run, summary)
        metric, described = self._run.metric, set[int]()
        for trial in population.trials:
            if trial.decided is None:
                continue
            parents = trial.proposal.parents
            relevant = (trial, population.trials[parents[0]] if parents else None)
            is_new = self._sent.get(trial.number) != relevant
            if trial.program and (is_new or closing):
                record = trial_record(trial, population, self._parameters, metric)
                if not self._store.has(record):
                    self._store.send(record, self._note(trial, population, metric))
                elif closing:
                    self._store.correct(record)
            if trial.program and is_new:
                described |= {trial.number, *parents}
                for parent in parents:
                    self._children[parent].add(trial.number)
            self._sent[trial.number] = relevant
            if is_new:
                yield trial.number
        for number in sorted(described):
            self._store.describe(number, self._note(population.trials[number], population, metric))
        note = search_note(population, summary, self._store.link, metric)
        self._store.send_summary(population, summary, note, self._parameters, metric)
        if closing:
            self._store.finish(summary, metric)

    def _note(self, trial: Trial, population: Population, metric: Metric) -> str:
        children = [population.trials[number] for number in sorted(self._children[trial.number])]
        patch = self._run.trial(trial.number) / "diff.patch"
        changes = patch.read_text(encoding="utf-8", errors="replace") if patch.is_file() else ""
        return trial_note(trial, population, children, changes, self._store.link, metric)
