"""What only the local executor promises: workers that die are replaced, and closing it leaves nothing behind."""

import contextlib
import dataclasses
import threading

import psutil
import pytest

from target.errors import TargetError
from target.evaluation import Outcome
from target.executor import LocalExecutor
from target.program import Program
from target.trained import TrainedKind
from tests.target.candidates import DAEMON, HONEST, in_main
from tests.target.conftest import survivors
from tests.waiting import wait_for

WAIT_SECONDS = 300
ENDLESS = in_main("print('running', flush=True)\nwhile True: time.sleep(0.01)")


@pytest.fixture
def marker(corpus):
    """A file that a program waits for: it can see it, and cannot make it."""
    marker = corpus.public / "go on"
    yield marker
    marker.unlink(missing_ok=True)


def waits_for(marker):
    return Program(
        in_main(f"print('running', flush=True)\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    )


@pytest.fixture(scope="module")
def executor(patient_spec, corpus):
    """Shared: whatever a test does to its workers, it must go on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVIDER_API_KEY", "sk-planted")
        executor = LocalExecutor(TrainedKind(patient_spec, corpus=corpus), workers=1)
        executor.start()
        yield executor
        executor.close()


def workers():
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as gone
            if "target.worker" in child.cmdline():
                found.append(child)
    return found


def below(worker):
    try:
        return worker.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def test_a_worker_that_is_killed_in_mid_training_is_replaced_and_the_job_done_again(executor, marker, tmp_path):
    log = tmp_path / "run.log"
    result = executor.evaluate(waits_for(marker), 1, log)
    wait_for(lambda: log.exists() and "running" in log.read_text())
    busy = next(worker for worker in workers() if works(worker))
    tree = below(busy)

    busy.kill()
    marker.touch()
    found = result.result(WAIT_SECONDS)

    assert found.outcome is Outcome.OK
    assert survivors(tree) == []


def test_a_worker_that_dies_again_and_again_stops_the_search(executor, tmp_path):
    before = len(workers())
    result = executor.evaluate(Program(ENDLESS), 1, tmp_path / "run.log")
    stop = threading.Event()

    def kill_busy_workers():
        while not stop.wait(0.02):
            for worker in workers():
                if works(worker):
                    worker.kill()

    killer = threading.Thread(target=kill_busy_workers)
    killer.start()
    try:
        with pytest.raises(TargetError, match="died 3 times"):
            result.result(WAIT_SECONDS)
    finally:
        stop.set()
        killer.join()
    wait_for(lambda: len(workers()) == before)  # replaced once more; the next test must not take it for its own


def test_closing_ends_what_is_in_flight_and_leaves_no_process(patient_spec, corpus, tmp_path):
    before = {worker.pid for worker in workers()}
    executor = LocalExecutor(TrainedKind(patient_spec, corpus=corpus), workers=1)
    executor.start()
    log = tmp_path / "run.log"
    source = DAEMON.replace(
        "os.wait()", "os.wait()\n    print('running', flush=True)\n    while True: time.sleep(0.01)"
    )
    running, queued = (executor.evaluate(Program(source), seed, log) for seed in (1, 2))
    wait_for(lambda: log.exists() and "running" in log.read_text())
    own = [worker for worker in workers() if worker.pid not in before]
    tree = [process for worker in own for process in (worker, *below(worker))]
    assert len(tree) >= 6

    executor.close()

    for future in (running, queued):
        with pytest.raises(TargetError, match="closed"):
            future.result(WAIT_SECONDS)
    assert survivors(tree) == []


def test_a_corpus_that_does_not_serve_is_told_at_the_start(spec, corpus):
    before = {worker.pid for worker in workers()}
    scoring = dataclasses.replace(spec.scoring, rows=16 * 10**6)
    executor = LocalExecutor(TrainedKind(dataclasses.replace(spec, scoring=scoring), corpus=corpus), workers=1)

    with pytest.raises(TargetError, match=r"scoring\.rows must be at most"):
        executor.start()
    assert {worker.pid for worker in workers()} == before


def test_keys_in_our_environment_are_not_in_that_of_a_worker(executor):
    processes = [process for worker in workers() for process in (worker, *below(worker))]

    assert len(processes) >= 2
    assert not any("PROVIDER_API_KEY" in process.environ() for process in processes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 1, "preflight_workers": -1}, "preflight_workers must be at least 0, got -1"),
    ],
)
def test_it_needs_workers(spec, sizes, message):
    with pytest.raises(TargetError, match=message):
        LocalExecutor(TrainedKind(spec), **sizes)


def test_without_workers_of_their_own_preflights_take_turns_with_trainings(spec, corpus, tmp_path):
    before = {worker.pid for worker in workers()}
    executor = LocalExecutor(TrainedKind(spec, corpus=corpus), workers=1, preflight_workers=0)
    executor.start()
    try:
        assert len({worker.pid for worker in workers()} - before) == 1
        program = Program(HONEST)
        training, check = executor.evaluate(program, 1, tmp_path / "a.log"), executor.preflight(program, tmp_path / "b")
        assert check.result(WAIT_SECONDS) is None
        assert training.done()
        assert training.result().outcome is Outcome.OK
    finally:
        executor.close()
    assert {worker.pid for worker in workers()} == before


def test_a_preflight_does_not_wait_for_a_training(executor, marker, tmp_path):
    training = executor.evaluate(waits_for(marker), 1, tmp_path / "a.log")

    assert executor.preflight(Program(HONEST), tmp_path / "b.log").result(WAIT_SECONDS) is None
    assert not training.done()
    marker.touch()
    assert training.result(WAIT_SECONDS).outcome is Outcome.OK


def works(worker):
    """Return whether there is a child below the zygote, which may be in namespaces of its own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return len([process for process in below(worker) if process.name() != "bwrap"]) > 1
    return False
