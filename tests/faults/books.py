"""Invariants of a run directory, whatever was done to its search."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from operators.population import Population
from operators.trial import Trial
from search.mlflow.store import import_mlflow
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.runs.summary import summarize
from tests.search.command import rows_of, summary_of


def check_books(root: Path, *, trainings: int | None = None) -> Population:
    """Check a search that has ended in order, and return its trials.

    Args:
        root: Its run directory.
        trainings: The budget that it has used up; None for one that was stopped.
    """
    run = RunDirectory(root)
    population = read_population(run)
    check_ledger(population)
    summary = summary_of(root)
    assert summary["status"] == ("stopped" if trainings is None else "finished")
    killed = sum(run.tries - 1 for trial in population.decided for run in trial.evaluations if run.trained)
    if trainings is not None:  # a killed training counts twice, and the last one may have been killed
        assert trainings <= population.trainings <= trainings + min(1, killed), "the budget is exact"
    derived = summarize(
        population,
        **{key: summary[key] for key in ("name", "strategy", "seed", "status", "stop_reason")},
        **{key: summary[key] for key in ("wall_seconds", "busy_fraction")},
    )
    assert summary == derived.to_json(), "summary.json is true"
    assert [row["number"] for row in rows_of(root)] == [str(trial.number) for trial in population.decided]
    for trial in population.decided:
        result = json.loads((run.trial(trial.number) / "result.json").read_text())
        assert len(result["evaluations"]) == len(trial.evaluations)
        assert result["status"] == trial.status.value
    assert [path for path in root.rglob(".*") if path.name.endswith(".part")] == []
    assert list(root.glob("journal.log.lock*")) == []
    return population


def population_of(root: Path) -> Population:
    """Return the trials of a run directory; none if the search has no ledger yet."""
    return read_population(RunDirectory(root)) if (root / "journal.log").exists() else Population()


def check_ledger(population: Population) -> None:
    """Check what must hold at any time."""
    measured = [(trial.number, run.seed) for trial in population.trials for run in trial.evaluations if run.trained]
    assert len(set(measured)) == len(measured), "nothing is counted twice"
    assert sorted(trial.decided for trial in population.decided if trial.decided is not None) == [
        *range(len(population.decided))
    ]
    programs = [trial.program.id for trial in population.trials if trial.program]
    assert len(set(programs)) == len(programs)


def check_kept(before: Population, after: Population) -> None:
    """Check that a search continued from where it was."""
    assert len(after.trials) >= len(before.trials)
    for old, new in zip(before.trials, after.trials, strict=False):
        assert new.proposal == old.proposal
        assert old.mutation is None or new.mutation == old.mutation
        assert new.evaluations[: len(old.evaluations)] == old.evaluations, "a finished training is kept"
        assert old.decided is None or (new.decided, new.status, new.detail) == (old.decided, old.status, old.detail)


def trained(trials: Iterable[Trial]) -> set[str]:
    """Return the finished trainings in the driver's diary."""
    return {f"{trial.program.id} {run.seed}" for trial in trials if trial.program for run in trial.evaluations}


def mirrored(outputs: Path) -> list[int]:
    """Return the trials of the search `run` that are complete in MLflow, with duplicates."""
    import_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{outputs}/mlflow.db")
    experiment = client.get_experiment_by_name("run")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return sorted(int(run.data.tags["graft.trial"]) for run in runs if "graft.sent" in run.data.tags)
