"""MLflow as a mirror: complete, idempotent, and never in the way. Real stores, real processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Status
from search.mlflow.store import MlflowStore, import_mlflow
from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from search.tracking.records import trial_record
from target.evaluation import Outcome
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial

ROOT = Path(__file__).parents[2]
BUILT = [trial for trial in MIXED.trials if trial.decided is not None and trial.program]
ONE_SEARCH = """
import sys
from pathlib import Path
from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from tests.search.builders import make_population, make_summary
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
run = RunDirectory(folder / name)
run.create()
population = make_population(*[2.0 - number / 1000 for number in range(count)])
for trial in population.trials:
    run.write_trial(trial, population)
tracker = MlflowTracker(run, name, f"sqlite:///{folder}/mlflow.db", warn=lambda text: print("WARNED", text))
tracker.update(population, make_summary(population, name=name))
print("started", flush=True)
print(tracker.close())
"""


@pytest.fixture
def outputs(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def make_run(outputs, population, name="demo"):
    run = RunDirectory(outputs / name)
    run.create()
    for trial in population.trials:
        if trial.decided is not None:
            run.write_trial(trial, population)
    return run


def make_tracker(outputs, run, name="demo", warnings=None, **options):
    warn = [].append if warnings is None else warnings.append
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


def artifacts_of(outputs, run):
    return {file.path for file in client_of(outputs).list_artifacts(run.info.run_id)}


def test_every_trial_with_a_program_is_one_flat_complete_run(outputs):
    mirror(outputs, MIXED)

    runs = trials_of(outputs)

    built = BUILT
    assert [run.data.tags["graft.trial"] for run in runs] == [str(trial.number) for trial in built]
    assert [run.info.run_name for run in runs[:4]] == [
        "#0 MATRIX_LR -> 0.02",
        "#1 MATRIX_LR -> 0.021 (-0.1000)",
        "#2 MATRIX_LR -> 0.022 (crashed)",
        "#3 MATRIX_LR -> 0.023 (+0.0500)",
    ]
    assert [run.info.status for run in runs] == ["FINISHED" if trial.scored else "FAILED" for trial in built]
    assert [run.data.metrics.get("val_bpb") for run in runs] == [trial.score for trial in built]
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs)


def test_a_run_says_what_changed_and_what_came_of_it(outputs):
    mirror(outputs, MIXED)

    kept = next(run for run in trials_of(outputs) if run.data.tags["graft.trial"] == "5")

    settings = {"strategy": "greedy", "operator": "constants", "target": "tiny", "seed": "0"}
    assert kept.data.params == {**settings, "DEPTH": "4", "MATRIX_LR": "0.025"}
    assert kept.data.metrics["delta_val_bpb"] == pytest.approx(-0.05)
    assert kept.data.metrics["train_seconds"] == 8.0
    assert kept.data.metrics["peak_memory_gb"] == 0.5
    assert kept.data.metrics["n_evaluations"] == 1
    assert kept.data.metrics["cost_usd"] == 0.01
    assert kept.data.tags["graft.status"] == "keep"
    assert kept.data.tags["graft.parents"] == "1"
    assert kept.data.tags["graft.generation"] == "5"
    assert kept.data.tags["graft.program_id"] == MIXED.trials[5].program.id
    assert "another rate may train faster" in kept.data.tags["mlflow.note.content"]
    assert kept.info.end_time - kept.info.start_time == 9500
    assert artifacts_of(outputs, kept) == {"train.py", "diff.txt", "result.json"}
    curve = client_of(outputs).get_metric_history(kept.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [
        (round(1000 * seconds), loss) for seconds, loss in MIXED.trials[5].evaluations[0].curve
    ]


def test_the_run_of_the_search_shows_the_best_so_far_by_trainings(outputs):
    run = make_run(outputs, MIXED)
    (run.root / "lineage.html").write_text("<p>lineage</p>")
    tracker = make_tracker(outputs, run)
    tracker.update(MIXED, make_summary(MIXED))
    tracker.close()

    search = search_of(outputs)

    history = client_of(outputs).get_metric_history(search.info.run_id, "best_val_bpb")
    assert [(point.step, point.value) for point in history] == [
        *((1, 2.0), (2, 1.9), (3, 1.9), (4, 1.9)),
        *((5, 1.85), (6, 1.85), (7, 1.85), (8, 1.8)),
    ]
    assert search.info.status == "FINISHED"
    assert search.data.tags["graft.best_trial"] == "9"
    assert search.data.tags["graft.outcomes"] == "1 crashed, 1 not_built, 6 ok, 1 rejected, 1 timed_out"
    assert artifacts_of(outputs, search) == {"lineage.html"}


def test_resuming_sends_only_what_is_new(outputs):
    half = Population(MIXED.trials[:4])
    mirror(outputs, half, status="stopped")
    before = {run.info.run_id: run.info.end_time for run in trials_of(outputs)}
    assert search_of(outputs).info.status == "KILLED"

    mirror(outputs, MIXED)

    after = {run.info.run_id: run.info.end_time for run in trials_of(outputs)}
    assert before.items() <= after.items()
    assert len(after) == len(BUILT)
    history = client_of(outputs).get_metric_history(search_of(outputs).info.run_id, "best_val_bpb")
    assert len({point.step for point in history}) == len(history)


def test_a_trial_that_is_measured_again_is_updated(outputs):
    population = make_population(2.0, 1.9)
    mirror(outputs, population)
    champion = population.trials[1]
    again = replace(champion, evaluations=(*champion.evaluations, make_evaluation(1.7, seed=1)))

    remeasured = population.with_trial(again)
    mirror(outputs, remeasured)

    _, run = trials_of(outputs)
    assert run.data.metrics["val_bpb"] == pytest.approx(remeasured.scores[1])
    assert run.data.metrics["n_evaluations"] == 2


@pytest.mark.parametrize("interrupted_after", ["create_run", "log_batch", "lost reply"])
def test_a_half_sent_trial_is_completed(outputs, interrupted_after):
    from mlflow.entities import Metric, Param

    population = make_population(2.0, 1.9)
    mirror(outputs, Population(population.trials[:1]))
    client = client_of(outputs)
    experiment = client.get_experiment_by_name("demo").experiment_id
    tags = {"graft.kind": "trial", "graft.trial": "1", "graft.search_id": (outputs / "demo" / ".search_id").read_text()}
    torn = client.create_run(experiment, tags=tags)
    if interrupted_after == "log_batch":
        client.log_batch(torn.info.run_id, [Metric("val_bpb", 1.9, 5, 0)], [Param("DEPTH", "4")])
    if interrupted_after == "lost reply":
        client.create_run(experiment, tags=tags)

    mirror(outputs, population)

    _, run = trials_of(outputs)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "#1 MATRIX_LR -> 0.021 (-0.1000)"
    assert run.data.metrics["val_bpb"] == 1.9
    assert run.data.params.items() >= {"DEPTH": "4", "MATRIX_LR": "0.021", "operator": "constants"}.items()
    assert len(client.get_metric_history(run.info.run_id, "val_bpb")) == 1


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


def test_a_new_search_of_an_old_name_gets_an_experiment_of_its_own(outputs):
    mirror(outputs, make_population(2.0, 1.9, 1.8))
    shutil.rmtree(outputs / "demo")

    run = mirror(outputs, make_population(2.0, 1.5))

    names = {experiment.name for experiment in client_of(outputs).search_experiments()}
    (other,) = names - {"Default", "demo"}
    assert other == f"demo {(run.root / '.search_id').read_text()[:6]}"
    assert len(trials_of(outputs)) == 3
    assert [run.data.metrics["val_bpb"] for run in trials_of(outputs, other)] == [2.0, 1.5]


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
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
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
def impatient(monkeypatch):
    """Have a locked database looked at more often than every few seconds."""
    monkeypatch.setattr("search.tracking.background._RETRY_SECONDS", 0.02)
    monkeypatch.setattr("search.mlflow.store._LOCK_SECONDS", 0.02)


def numbers_of(outputs):
    return [int(run.data.tags["graft.trial"]) for run in trials_of(outputs)]


@pytest.mark.parametrize("before", [0, 3], ids=["from the beginning", "in the middle"])
def test_when_another_process_lets_go_of_the_database_all_arrives_by_itself(outputs, before, impatient, capfd):
    run, warnings, warned = make_run(outputs, MIXED), [], threading.Event()
    database = outputs / "mlflow.db"
    options = {"warn": lambda text: (warnings.append(text), warned.set())}
    if before:
        tracker = MlflowTracker(run, "demo", f"sqlite:///{database}", **options)
        tracker.update(Population(MIXED.trials[:before]), make_summary(MIXED))
        wait_for(lambda: sent_runs(database) == before)
    with Holder(database):
        if not before:
            tracker = MlflowTracker(run, "demo", f"sqlite:///{database}", **options)
        tracker.update(MIXED, make_summary(MIXED))
        assert warned.wait(120)
    wait_for(lambda: sent_runs(database) == len(BUILT))
    tracker.close()

    assert warnings == [
        f"MLflow at sqlite:///{database} cannot be used, the search goes on: another process has locked the database; "
        "what is missing is sent when the lock is released"
    ]
    assert numbers_of(outputs) == [trial.number for trial in BUILT]
    assert "Traceback" not in capfd.readouterr().err


def test_the_end_of_a_search_waits_for_a_database_that_is_locked(outputs, impatient, monkeypatch):
    tries = []

    class Counted(MlflowStore):
        def __init__(self, *arguments):
            tries.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr("search.mlflow.mirror.MlflowStore", Counted)
    warnings = []
    with Holder(outputs / "mlflow.db") as holder:
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


def test_a_database_that_stays_locked_does_not_keep_a_search_from_ending(outputs, impatient):
    population, warnings = make_population(2.0, 1.9, 1.8, 1.7), []
    run = make_run(outputs, population)
    tracker = make_tracker(outputs, run, warnings=warnings, close_seconds=1.0)
    tracker.update(Population(population.trials[:1]), make_summary(population))
    wait_for(lambda: tagged(outputs / "mlflow.db", "graft.strategy"))  # the last that is sent
    with Holder(outputs / "mlflow.db"):
        tracker.update(population, make_summary(population))
        tracker.close()

    assert warnings[-1] == (
        "MLflow did not get everything: 3 of 4 trials may be missing; the same command again sends the rest"
    )
    mirror(outputs, population)
    assert numbers_of(outputs) == [0, 1, 2, 3]


def test_a_search_goes_on_to_its_end_while_the_database_is_locked(outputs):
    database = outputs / "mlflow.db"
    overrides = ["name=demo", "target=landscape", "budget.trainings=6", f"outputs={outputs}"]
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
        assert warned.wait(60)
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


def test_the_hint_is_a_command_for_the_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker = MlflowTracker(RunDirectory(Path("my outputs/a")), "a", "sqlite:///my outputs/mlflow.db")

    shown = tracker.close()
    assert shown.startswith(f"{sys.executable} -m search.ui 'my outputs/a'  ")


def test_what_models_and_candidates_write_stays_within_the_limits(outputs):
    hostile = "\0\ud800'; DROP TABLE runs; --" + "x" * 20_000
    source = "".join(f"C{index} = {index}\n" for index in range(300)) + f"TEXT = {'y' * 9000!r}\n"
    wild = replace(make_evaluation(1.9), curve=tuple((float(n), math.inf if n % 7 else 1.0) for n in range(5000)))
    trial = make_trial(1, 1.9, status=Status.KEEP)
    trial = replace(
        trial,
        evaluations=(wild,),
        mutation=replace(trial.mutation, description=hostile, rationale=hostile, program=Program(source)),
        proposal=replace(trial.proposal, labels={"weird key!?" + "k" * 400: "v" * 9000, "kind": "search"}),
    )
    mirror(outputs, Population((make_population(2.0).trials[0], trial)))

    _, run = trials_of(outputs)

    assert len(run.data.params) == 100
    assert run.data.metrics["train_loss"] == 1.0
    assert run.data.tags["graft.kind"] == "trial"


def test_the_digest_follows_everything_that_is_sent():
    trial = make_population(2.0, 1.9).trials[1]
    population = make_population(2.0, 1.9)
    one = trial_record(trial, population).digest

    assert trial_record(trial, population).digest == one
    assert trial_record(replace(trial, detail="why"), population).digest != one
    crashed = replace(trial, evaluations=(make_evaluation(None, outcome=Outcome.CRASHED),), status=Status.CRASHED)
    assert trial_record(crashed, population).digest != one
    assert json.dumps(trial_record(crashed, population).metrics)


def test_importing_the_tracker_does_not_import_mlflow():
    code = "import sys, search.mlflow.tracker; print([name for name in ('mlflow', 'requests') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_of_the_user_are_respected():
    code = "import os, search.mlflow.store as s; s.import_mlflow(); print(os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT'])"
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "77"


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


def sent_runs(database):
    """How many runs of trials there are, seen past the store so that nothing is disturbed."""
    return tagged(database, "graft.sent")


def tagged(database, key):
    if not database.exists():
        return 0
    connection = sqlite3.connect(database, timeout=20)
    try:
        return connection.execute("select count(*) from tags where key = ?", [key]).fetchone()[0]
    finally:
        connection.close()


def read(path):
    return path.read_text() if path.exists() else ""


def size_of(folder):
    """Bytes of a database in the making; its files come and go."""
    size = 0
    for path in folder.glob("*mlflow.db*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.02)
