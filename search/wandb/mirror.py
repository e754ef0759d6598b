"""What is sent to wandb of the state of a search. What has arrived is noted in the folder, since it may be offline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from operators.population import Population
from search.champions import best_by_training
from search.final.report import read_final
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tracking.notes import search_note, trial_note
from search.tracking.parameters import search_parameters
from search.tracking.records import (
    SEARCH_FILES,
    TrialRecord,
    final_tags,
    metric_key,
    rounded,
    search_name,
    trial_record,
)
from search.wandb.runs import Runs, save_files, unmarked
from target.metric import Metric


class WandbMirror:
    """The runs of one search in wandb. Sending a trial again continues its run, which has the same id.

    Args:
        run: Folder of the search.
        name: Its name.
        runs: Opens its runs.
    """

    def __init__(self, run: RunDirectory, name: str, runs: Runs) -> None:
        self._run = run
        self._runs = runs
        self._path = run.root / ".wandb_sent.json"
        self._sent: dict[str, str] = {}
        self._last_step = -1
        if self._path.exists():
            noted = json.loads(self._path.read_text(encoding="utf-8"))
            self._sent, self._last_step = noted["trials"], noted["step"]
        self._search: Any = self._runs.open("search", name, {}, "search")

    @property
    def url(self) -> str:
        """The address of the run of the search; empty offline."""
        return "" if self._search.offline else str(self._search.url or "")

    def refuse_locked(self) -> None:
        """Do nothing: nothing can be locked."""

    def send(self, population: Population, summary: Summary, *, closing: bool) -> Iterator[int]:
        """Send what is missing, and yield the number of each trial that has arrived; one without a program is counted.

        Args:
            population: All trials.
            summary: The state of the search.
            closing: Whether this is the last call.
        """
        parameters, metric = search_parameters(self._run, summary), self._run.metric
        for trial in population.decided:
            if trial.program:
                record = trial_record(trial, population, parameters, metric)
                if self._sent.get(str(trial.number)) != record.digest:
                    note = trial_note(trial, population, (), self._changes(trial.number), lambda _: "", metric)
                    self._send(record, note)
            yield trial.number
        self._summarize(population, summary, parameters, metric)
        if closing:
            self._search.summary.update(unmarked(final_tags(read_final(self._run)[0], metric)))
            save_files(self._search, [self._run.root / name for name in SEARCH_FILES])
            self._search.finish(exit_code=0 if summary.status == "finished" else 1)

    def _send(self, record: TrialRecord, note: str) -> None:
        config = {**unmarked(record.tags), **record.params}
        run = self._runs.open(str(record.number), record.run_name, config, "trial", note)
        for step, loss in record.curve:
            run.log({"train_loss": loss, "train_seconds_so_far": step / 1000}, step=step)
        run.summary.update(dict(record.metrics))
        save_files(run, sorted(self._run.trial(record.number).glob("*")))
        run.finish(exit_code=0 if record.state == "FINISHED" else 1)
        self._sent[str(record.number)] = record.digest
        self._note()

    def _summarize(
        self, population: Population, summary: Summary, parameters: Mapping[str, str], metric: Metric
    ) -> None:
        best = best_by_training(population)
        for step, score in best.items():
            if step > self._last_step:
                self._search.log({f"best_{metric_key(metric)}": rounded(metric.value(score))}, step=step)
        self._last_step = max([self._last_step, *best])
        self._note()
        self._search.name = search_name(parameters, self._runs.place.differing)
        self._search.notes = search_note(population, summary, lambda _: "", metric)
        self._search.config.update(dict(parameters), allow_val_change=True)
        figures = summary.to_json(metric)
        self._search.summary.update({key: value for key, value in figures.items() if value is not None})

    def _changes(self, number: int) -> str:
        patch = self._run.trial(number) / "diff.patch"
        return patch.read_text(encoding="utf-8", errors="replace") if patch.is_file() else ""

    def _note(self) -> None:
        write_atomically(self._path, json.dumps({"step": self._last_step, "trials": self._sent}))
