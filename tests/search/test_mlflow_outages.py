"""A store of MLflow that is locked, broken or away delays no search, and gets all when it is back."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from operators.population import Population
from search.mlflow.store import MlflowStore
from search.mlflow.tracker import MlflowTracker
from tests.search.builders import MIXED, make_population, make_summary
from tests.search.mirrors import (
    BUILT,
    make_run,
    make_tracker,
    mirror,
    read,
    search_of,
    sent_runs,
    tagged,
    trials_of,
)
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def test_after_an_outage_all_is_made_up_for_whatever_had_arrived_before(outputs):
    good = (outputs / "mlflow.db").read_bytes()
    warned = threading.Event()
    tracker = MlflowTracker(
        make_run(outputs, MIXED), "demo", f"sqlite:///{outputs}/mlflow.db", warn=lambda _: warned.set()
    )
    tracker.update(Population(MIXED.trials[:2]), make_summary(MIXED))
    wait_for(lambda: sent_runs(outputs / "mlflow.db") == 2)
    while not warned.is_set():
        (outputs / "mlflow.db").write_text("this is no database, and longer than its header would be " * 50)
        tracker.update(Population(MIXED.trials[:3]), make_summary(MIXED))
        warned.wait(0.1)
    (outputs / "mlflow.db").write_bytes(good)
    tracker.update(MIXED, make_summary(MIXED))
    tracker.close()

    assert len(trials_of(outputs)) == len(BUILT)


class Holder:
    """Another process that locks the database until it is told to release it."""

    SOURCE = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=300)
held.execute("begin exclusive")
print("held", flush=True)
sys.stdin.readline()
held.execute("rollback")
"""

    def __init__(self, database):
        command = [sys.executable, "-c", self.SOURCE, str(database)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        assert self._process.stdout.readline() == b"held\n"
        return self

    def __exit__(self, *_):
        self.let_go()

    def let_go(self):
        self._process.communicate()


@pytest.fixture
def be_impatient(monkeypatch):
    """Have a locked database looked at more often than every few seconds.

    Only while a process holds it: a test that looks into the database locks it too, for as long as the look takes.
    """

    def be_impatient():
        monkeypatch.setattr("search.tracking.background._RETRY_SECONDS", 0.02)
        monkeypatch.setattr("search.mlflow.store._LOCK_SECONDS", 0.02)

    return be_impatient


def numbers_of(outputs):
    return [int(run.data.tags["graft.trial"]) for run in trials_of(outputs)]


@pytest.mark.parametrize("before", [0, 3], ids=["from the beginning", "in the middle"])
def test_when_another_process_lets_go_of_the_database_all_arrives_by_itself(outputs, before, be_impatient, capfd):
    run, warnings, warned = make_run(outputs, MIXED), [], threading.Event()
    database = outputs / "mlflow.db"
    options = {"warn": lambda text: (warnings.append(text), warned.set()), "close_seconds": 300}
    if before:
        tracker = MlflowTracker(run, "demo", f"sqlite:///{database}", **options)
        tracker.update(Population(MIXED.trials[:before]), make_summary(MIXED))
        wait_for(lambda: sent_runs(database) == before and tagged(database, "graft.strategy"))  # the last that is sent
    with Holder(database):
        be_impatient()
        if not before:
            tracker = MlflowTracker(run, "demo", f"sqlite:///{database}", **options)
        tracker.update(MIXED, make_summary(MIXED))
        assert warned.wait(300)
    wait_for(lambda: sent_runs(database) == len(BUILT))
    tracker.close()

    assert warnings == [
        f"MLflow at sqlite:///{database} cannot be used, the search goes on: another process has locked the database; "
        "what is missing is sent when the lock is released"
    ]
    assert numbers_of(outputs) == [trial.number for trial in BUILT]
    assert "Traceback" not in capfd.readouterr().err


def test_the_end_of_a_search_waits_for_a_database_that_is_locked(outputs, be_impatient, monkeypatch):
    tries = []

    class Counted(MlflowStore):
        def __init__(self, *arguments):
            tries.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr("search.mlflow.mirror.MlflowStore", Counted)
    warnings = []
    with Holder(outputs / "mlflow.db") as holder:
        be_impatient()
        tracker = make_tracker(outputs, make_run(outputs, MIXED), warnings=warnings)
        tracker.update(MIXED, make_summary(MIXED))
        closing = threading.Thread(target=tracker.close)
        closing.start()
        wait_for(lambda: len(tries) > 20)
        assert closing.is_alive()
        holder.let_go()
        closing.join()

    assert len(warnings) == 1
    assert numbers_of(outputs) == [trial.number for trial in BUILT]
    assert search_of(outputs).info.status == "FINISHED"


def test_a_database_that_stays_locked_does_not_keep_a_search_from_ending(outputs, be_impatient):
    population, warnings = make_population(2.0, 1.9, 1.8, 1.7), []
    run = make_run(outputs, population)
    tracker = make_tracker(outputs, run, warnings=warnings, close_seconds=1.0)
    tracker.update(Population(population.trials[:1]), make_summary(population))
    wait_for(lambda: tagged(outputs / "mlflow.db", "graft.strategy"))  # the last that is sent
    with Holder(outputs / "mlflow.db"):
        be_impatient()
        tracker.update(population, make_summary(population))
        tracker.close()
        tracker._thread.join()  # its last try ends, before another sends the same

    missing = "MLflow did not get everything: 3 of 4 trials may be missing; the same command again sends the rest"
    assert missing in warnings, "perhaps before the warning of the last try"
    mirror(outputs, population)
    assert numbers_of(outputs) == [0, 1, 2, 3]


def test_a_search_goes_on_to_its_end_while_the_database_is_locked(outputs):
    database = outputs / "mlflow.db"
    overrides = [
        "name=demo",
        "target=landscape",
        "budget.trainings=6",
        f"outputs={outputs}",
        "tracker.close_seconds=300",
    ]
    with Holder(database) as holder:
        search = subprocess.Popen(
            [sys.executable, "-m", "search", *overrides],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: "finished" in read(outputs / "demo" / "summary.json"))
        assert search.poll() is None  # it waits for the lock, within tracker.close_seconds
        holder.let_go()
        said = search.communicate()[0]

    assert search.returncode == 0, said
    assert said.count("MLflow at ") == 1
    assert "did not get everything" not in said
    assert "Traceback" not in said
    rows = [row.split("\t") for row in read(outputs / "demo" / "results.tsv").splitlines()[1:]]
    assert numbers_of(outputs) == sorted(int(row[0]) for row in rows if row[1] != "not_built")


def test_an_outage_is_warned_about_once(tmp_path):
    warnings, warned = [], threading.Event()
    run = make_run(tmp_path, MIXED)
    with Refusing() as server:
        tracker = MlflowTracker(run, "demo", server.uri, warn=lambda text: (warnings.append(text), warned.set()))
        tracker.update(MIXED, make_summary(MIXED))
        assert warned.wait(300)
        earlier = server.connections
        tracker.update(MIXED, make_summary(MIXED))
        wait_for(lambda: server.connections > earlier)

        assert tracker.close() == server.uri

    cannot, later = warnings
    assert "the search goes on" in cannot
    assert later == (
        "MLflow did not get everything: 10 of 10 trials may be missing; the same command again sends the rest"
    )


def test_a_server_that_never_answers_does_not_keep_the_search_from_ending(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        warnings = []
        tracker = MlflowTracker(make_run(tmp_path, MIXED), "demo", uri, close_seconds=0.5, warn=warnings.append)
        tracker.update(MIXED, make_summary(MIXED))
        tracker.close()

        assert warnings == [
            "MLflow did not get everything: 10 of 10 trials may be missing; the same command again sends the rest"
        ]


class Refusing:
    """A server that closes every connection, and counts them."""

    def __enter__(self):
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._hang_up, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _hang_up(self):
        with contextlib.suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self.connections += 1
