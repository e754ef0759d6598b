"""A search in a real store of MLflow: what sends it there, and what is there."""

from __future__ import annotations

import sqlite3

from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from tests.search.builders import MIXED, make_summary

BUILT = [trial for trial in MIXED.trials if trial.decided is not None and trial.program]


def make_run(outputs, population, name="demo"):
    run = RunDirectory(outputs / name)
    run.create()
    for trial in population.trials:
        if trial.decided is not None:
            run.write_trial(trial, population)
    return run


def make_tracker(outputs, run, name="demo", warnings=None, **options):
    warn = [].append if warnings is None else warnings.append
    options = {"close_seconds": 300.0, **options}
    return MlflowTracker(run, name, f"sqlite:///{outputs}/mlflow.db", warn=warn, **options)


def mirror(outputs, population, name="demo", **summary):
    run = make_run(outputs, population, name)
    warnings = []
    tracker = make_tracker(outputs, run, name, warnings)
    tracker.update(population, make_summary(population, name=name, **summary))
    tracker.close()
    assert warnings == []
    return run


def client_of(outputs):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{outputs}/mlflow.db")


def runs_of(outputs, name="demo"):
    client = client_of(outputs)
    return list(client.search_runs([client.get_experiment_by_name(name).experiment_id]))


def trials_of(outputs, name="demo"):
    trials = [run for run in runs_of(outputs, name) if run.data.tags["graft.kind"] == "trial"]
    return sorted(trials, key=lambda run: int(run.data.tags["graft.trial"]))


def search_of(outputs, name="demo"):
    (search,) = (run for run in runs_of(outputs, name) if run.data.tags["graft.kind"] == "search")
    return search


def sent_runs(database):
    """How many runs of trials there are, seen past the store so that nothing is disturbed."""
    return tagged(database, "graft.sent")


def tagged(database, key):
    if not database.exists():
        return 0
    connection = sqlite3.connect(database, timeout=300)
    try:
        return connection.execute("select count(*) from tags where key = ?", [key]).fetchone()[0]
    finally:
        connection.close()


def read(path):
    return path.read_text() if path.exists() else ""
