"""What only the executor of a batch system promises, on submitit's jobs that are processes of this machine."""

import dataclasses
import signal
import time
import types

import psutil
import pytest

from target.cluster import slurm
from target.cluster.slurm import SlurmExecutor, _is_queued, _Job
from target.errors import TargetError
from target.evaluation import Outcome
from target.program import Program
from target.trained import TrainedKind
from target.workers import WorkerDied
from tests.target.candidates import in_main
from tests.target.conftest import survivors

WAIT_SECONDS = 300


@pytest.fixture(scope="module")
def kind(patient_spec, corpus):
    """A test sees the files of a candidate."""
    return TrainedKind(dataclasses.replace(patient_spec, sandbox="off"), corpus=corpus)


@pytest.fixture(scope="module")
def executor(kind, tmp_path_factory):
    jobs = tmp_path_factory.mktemp("jobs")
    executor = SlurmExecutor(kind, cluster="local", folder=str(jobs))
    executor.start()
    yield executor
    executor.close()
    assert list(jobs.iterdir()) == []


def started(tmp_path):
    return [path for path in tmp_path.glob("[0-9]*") if path.suffix != ".log"]


def the_job(tmp_path, *, of):
    """Return the process of the job that runs the newest training, once `of` trainings have begun."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := started(tmp_path)) < of:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    newest = max(found, key=lambda path: path.stat().st_mtime_ns)
    below = psutil.Process(int(newest.name))
    job = next(each for each in below.parents() if "submitit.core._submit" in each.cmdline())
    return job, [job, below, *below.parents()[:2]]


@pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGKILL], ids=["preempted", "lost"])
def test_a_job_that_is_preempted_or_lost_trains_again_from_the_start(executor, tmp_path, how):
    source = in_main(
        f"import pathlib\nhere = pathlib.Path({str(tmp_path)!r})\n(here / str(os.getpid())).touch()\n"
        "while not (here / 'go').exists(): time.sleep(0.01)\nprint('done', flush=True)"
    )
    run = executor.evaluate(Program(source), 3, tmp_path / "3.log")
    job, tree = the_job(tmp_path, of=1)

    job.send_signal(how)
    the_job(tmp_path, of=2)
    (tmp_path / "go").touch()
    found = run.result(WAIT_SECONDS)

    assert (found.outcome, found.seed) == (Outcome.OK, 3)
    assert found.host
    assert "done" in (tmp_path / "3.log").read_text()
    assert survivors(tree) == []


def test_closing_cancels_the_job_and_leaves_no_process(kind, tmp_path):
    executor = SlurmExecutor(kind, cluster="local", folder=str(tmp_path / "jobs"))
    executor.start()
    source = in_main(
        f"import pathlib\n(pathlib.Path({str(tmp_path)!r}) / str(os.getpid())).touch()\nwhile True: time.sleep(0.01)"
    )
    run = executor.evaluate(Program(source), 3, tmp_path / "3.log")
    _, tree = the_job(tmp_path, of=1)

    executor.close()

    with pytest.raises(TargetError, match="closed"):
        run.result(WAIT_SECONDS)
    assert survivors(tree) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "executor.workers must be at least 1"),
        ({"preflight_workers": 0}, "executor.preflight_workers must be at least 1, got 0"),
        ({"cluster": "pbs"}, "executor.cluster must be slurm or local, got 'pbs'"),
        ({"cluster": "local", "more": {"slurm_colour": "red"}}, "executor.more has a parameter that submitit does not"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(kind, tmp_path, settings, message):
    with pytest.raises(TargetError, match=message):
        SlurmExecutor(kind, folder=str(tmp_path), **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_sbatch_says_so(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(TargetError, match=r"there is no `sbatch` here; run it on a login node"):
        SlurmExecutor(kind, folder=str(tmp_path))


@pytest.mark.parametrize(
    ("squeue", "is_there"),
    [
        ("echo '7 gpu graft me R 0:36 1 node3'", True),
        ("exit 0", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", True),
    ],
    ids=["it runs", "it has ended", "it is forgotten", "the controller is away"],
)
def test_a_job_is_lost_only_if_the_batch_system_says_so(tmp_path, monkeypatch, squeue, is_there):
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\n{squeue}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert _is_queued("7") is is_there


def test_a_job_that_has_left_the_queue_without_a_result_is_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(slurm, "_LOOK_SECONDS", 0.0)
    job = _Job(lambda request: types.SimpleNamespace(done=lambda: False, job_id="7"), lambda number: False, None)

    with pytest.raises(WorkerDied, match="job 7 has left the queue without a result"):
        job.ask({"evaluate": {"log": str(tmp_path / "a.log")}})
