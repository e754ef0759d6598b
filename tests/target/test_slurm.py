"""What only the executor of a batch system promises, on submitit's jobs that are processes of this machine."""

import dataclasses
import functools
import signal
import subprocess
import time

import psutil
import pytest
import submitit

from target.cluster import jobs
from target.cluster.jobs import LocalJob, QueuedJob, is_queued
from target.cluster.slurm import SlurmExecutor, _import_submitit, _JobWorker
from target.errors import TargetError
from target.evaluation import Outcome
from target.program import Program
from target.trained import TrainedKind
from target.workers import Pool, WorkerDied
from tests.target.candidates import in_main
from tests.target.conftest import alive, survivors

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
    assert alive(tree) == []


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Return a function that makes a worker whose jobs start a shell in a session of its own, as a worker is.

    The shell ends as soon as it has run a command after the end of its job.
    """
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(jobs, "_CANCELS", 10_000)  # as long as the machine needs
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")

    def make(command):
        def run(request):
            shell = subprocess.Popen(["sh", "-c", f"cat; {command}"], stdin=subprocess.PIPE, start_new_session=True)
            (tmp_path / str(shell.pid)).touch()
            shell.wait()

        return _JobWorker(functools.partial(executor.submit, run), LocalJob, submitit.core.utils)

    return make


def given_a_request(worker, tmp_path):
    """Return the pool, the future of the answer, and the processes of the job, all of which it has seen."""
    pool = Pool([lambda: worker], {"begin": {}}, tries=1)
    answer = pool.submit({"evaluate": {"log": str(tmp_path / "a.log")}}, lambda reply: reply)
    _, [job, shell, _, controller] = the_job(tmp_path, of=1)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (worker._job and shell.pid in worker._job._started_ticks):
        assert time.monotonic() < deadline
    return pool, answer, [controller, job, shell]


def test_a_job_that_ignores_interrupts_is_killed_and_waited_for_until_it_is_gone(worker, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a program that is started goes on to ignore it
    try:
        pool, answer, tree = given_a_request(worker("sleep 0.3"), tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    pool.abandon()
    pool.join()

    assert alive(tree) == []
    with pytest.raises(TargetError, match="closed"):
        answer.result()


def test_an_error_of_ours_in_a_job_is_no_death_of_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.02)
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    worker = _JobWorker(functools.partial(executor.submit, int), LocalJob, submitit.core.utils)

    with pytest.raises(TargetError, match=r"job \d+ failed on its node: .*TypeError"):
        worker.ask({"evaluate": {"log": str(tmp_path / "a.log")}})


def test_a_job_that_cannot_be_written_to_the_shared_folder_is_told(tmp_path):
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    worker = _JobWorker(functools.partial(executor.submit, int), LocalJob, submitit.core.utils)
    (tmp_path / "jobs").rmdir()
    (tmp_path / "jobs").write_text("a file, where the folder was")

    with pytest.raises(TargetError, match=r"cannot hand a job to the batch system: .*jobs"):
        worker.ask({"evaluate": {"log": str(tmp_path / "a.log")}})


def test_a_job_whose_controller_was_killed_is_ended_before_it_counts_as_dead(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0)  # for file systems of many hosts
    pool, answer, tree = given_a_request(worker("sleep 0.3"), tmp_path)

    tree[0].kill()

    with pytest.raises(TargetError, match=r"a worker died 1 times over one evaluation: job \d+ ended without a result"):
        answer.result(WAIT_SECONDS)
    assert alive(tree) == []
    pool.abandon()


def test_a_job_that_does_not_end_is_told_with_its_processes(worker, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "_CANCELS", 3)
    pool, answer, tree = given_a_request(worker("exec sleep 1000"), tmp_path)
    pool.abandon()
    pool.join()
    tree[2].kill()

    message = rf"job \d+ still runs as process {tree[2].pid}: it was cancelled 3 times in 0.6 s; end these processes"
    with pytest.raises(TargetError, match=message):
        answer.result()
    assert "it was cancelled 3 times" in caplog.text


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


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return a function that makes programs of Slurm; a job is in the queue while the file `queue` exists."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.0)

    def make(**scripts):
        usual = {
            "sbatch": "touch queue; echo Submitted batch job 7",
            "srun": "",
            "squeue": "if [ -e queue ]; then echo '7 gpu graft me CG 0:36 1 node3'; fi",
            "scancel": "rm queue",
        }
        for name, script in {**usual, **scripts}.items():
            if script is not None:
                (folder / name).write_text(f"#!/bin/sh\n{script}\n")
                (folder / name).chmod(0o755)

    return make


@pytest.mark.parametrize("missing", ["sbatch", "srun", "squeue", "scancel"])
def test_a_machine_without_a_program_of_slurm_says_so(kind, tmp_path, programs, missing):
    programs(**{missing: None})

    with pytest.raises(TargetError, match=f"there is no `{missing}` here; run it on a login node"):
        SlurmExecutor(kind, folder=str(tmp_path / "jobs"))


def submit(tmp_path, *, hung_up):
    """Submit a job to Slurm, and wait for its answer."""
    executor = _import_submitit("slurm").AutoExecutor(folder=tmp_path / "jobs", cluster="slurm")
    worker = _JobWorker(functools.partial(executor.submit, len), QueuedJob, submitit.core.utils)
    if hung_up:
        worker.hang_up()
    worker.ask({"evaluate": {"log": str(tmp_path / "a.log")}})


def test_a_cancelled_job_of_slurm_is_waited_for_and_cancelled_again(tmp_path, programs):
    programs(scancel='echo "$1" >> asked; if [ "$(wc -l < asked)" = 2 ]; then rm queue; fi')

    with pytest.raises(WorkerDied, match="the search ended it"):
        submit(tmp_path, hung_up=True)
    assert (tmp_path / "asked").read_text() == "7\n7\n"
    assert not (tmp_path / "queue").exists()


def test_a_job_of_slurm_that_does_not_end_is_told(tmp_path, programs, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "_CANCELS", 2)
    programs(scancel="")

    with pytest.raises(TargetError, match=r"but job 7 is still in the queue: it was cancelled 2 times .*; see `squeue"):
        submit(tmp_path, hung_up=True)
    assert "job 7 is still in the queue" in caplog.text


def test_a_job_that_cannot_be_cancelled_is_told(tmp_path, programs):
    programs(sbatch="touch queue; rm bin/scancel; echo Submitted batch job 7")

    with pytest.raises(TargetError, match=r"cannot cancel job 7: .*scancel.*; see `squeue --jobs 7`"):
        submit(tmp_path, hung_up=True)


@pytest.mark.parametrize(
    ("squeue", "is_there"),
    [
        ("echo '7 gpu graft me R 0:36 1 node3'", True),
        ("exit 0", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", True),
        (None, True),
    ],
    ids=["it runs", "it has ended", "it is forgotten", "the controller is away", "the program is away"],
)
def test_a_job_is_lost_only_if_the_batch_system_says_so(programs, squeue, is_there):
    programs(squeue=squeue)

    assert is_queued("7") is is_there


def test_a_job_that_has_left_the_queue_without_a_result_is_lost(tmp_path, programs):
    programs(sbatch="echo Submitted batch job 7")

    with pytest.raises(WorkerDied, match="job 7 has left the queue without a result"):
        submit(tmp_path, hung_up=False)
