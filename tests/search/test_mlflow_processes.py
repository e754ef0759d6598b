"""Searches that share a store of MLflow, or are killed while they send: each trial is one complete run."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from search.mlflow.store import import_mlflow
from tests.search.mirrors import sent_runs, trials_of
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
ONE_SEARCH = """
import sys
from pathlib import Path
import search.mlflow.store
from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from tests.search.builders import make_population, make_summary
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
run = RunDirectory(folder / name)
run.create()
population = make_population(*[2.0 - number / 1000 for number in range(count)])
for trial in population.trials:
    run.write_trial(trial, population)
search.mlflow.store._LOCK_SECONDS = 60.0  # a slow disk is no reason to warn
uri = f"sqlite:///{folder}/mlflow.db"
tracker = MlflowTracker(run, name, uri, close_seconds=300, warn=lambda text: print("WARNED", text))
tracker.update(population, make_summary(population, name=name))
print("started", flush=True)
print(tracker.close())
"""


def test_killed_while_sending_and_resumed_there_is_one_run_a_trial(outputs):
    count = 60
    command = [sys.executable, "-c", ONE_SEARCH, str(outputs), "demo", str(count)]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert killed.stdout.readline() == b"started\n"
    wait_for(lambda: sent_runs(outputs / "mlflow.db") >= 3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert sent_runs(outputs / "mlflow.db") < count

    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "WARNED" not in finished.stdout
    import_mlflow()
    runs = trials_of(outputs)
    assert [int(run.data.tags["graft.trial"]) for run in runs] == list(range(count))
    assert all(run.info.status == "FINISHED" and "graft.sent" in run.data.tags for run in runs)


def test_two_searches_may_begin_a_database_at_once(tmp_path):
    commands = [[sys.executable, "-c", ONE_SEARCH, str(tmp_path), name, "3"] for name in ("one", "two")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [process.communicate()[0] for process in both]

    assert all("WARNED" not in text for text in printed), printed
    import_mlflow()
    assert [len(trials_of(tmp_path, name)) for name in ("one", "two")] == [3, 3]


def test_a_search_killed_at_the_first_use_leaves_no_broken_database(tmp_path):
    command = [sys.executable, "-c", ONE_SEARCH, str(tmp_path), "demo", "3"]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: size_of(tmp_path) > 50_000)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "mlflow.db").exists()  # not before it is complete

    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "WARNED" not in finished.stdout


def size_of(folder):
    """Bytes of a database in the making; its files come and go."""
    size = 0
    for path in folder.glob("*mlflow.db*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size
