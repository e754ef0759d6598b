"""The worker as a process of its own, over its pipes."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from target.trained import TrainedKind
from tests.target.candidates import DAEMON, HONEST, in_main
from tests.target.conftest import survivors
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


class Worker:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "target.worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def send(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, **request):
        self.send(**request)
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def worker(patient_spec, corpus, tmp_path_factory):
    """Shared; the test that ends it comes last."""
    worker = Worker()
    scratch = tmp_path_factory.mktemp("scratch")
    assert worker.ask(configure=_configuration(patient_spec, corpus, scratch)) == {"ok": None}
    yield worker
    worker.process.stdin.close()
    assert worker.process.stdout.read() == b""
    assert worker.process.wait(300) == 0
    worker.process.stdout.close()


def test_it_answers_line_by_line_and_survives_failures_of_candidates(worker, log):
    assert worker.ask(preflight={"source": HONEST, "log": str(log)}) == {"ok": None}
    refused = worker.ask(preflight={"source": "x = 1", "log": str(log)})["ok"]
    assert (refused["outcome"], refused["trained"]) == ("rejected", False)
    for _ in range(2):
        scored = worker.ask(evaluate={"source": HONEST, "seed": 5, "log": str(log)})["ok"]
        assert (scored["outcome"], scored["seed"]) == ("ok", 5)


def test_a_failure_of_the_machine_is_an_error_that_is_told(worker, tmp_path):
    (tmp_path / "file").touch()

    reply = worker.ask(evaluate={"source": HONEST, "seed": 5, "log": str(tmp_path / "file" / "run.log")})

    assert "cannot write the log" in reply["error"]
    assert worker.ask(preflight={"source": HONEST, "log": str(tmp_path / "run.log")}) == {"ok": None}


def test_a_target_that_does_not_fit_is_told(spec, corpus, tmp_path):
    worker = Worker()
    configuration = _configuration(spec, corpus, tmp_path)
    configuration["settings"]["spec"]["scoring"]["rows"] = 16 * 10**6

    assert "scoring.rows must be at most" in worker.ask(configure=configuration)["error"]
    worker.process.communicate()


def test_when_it_is_killed_its_pipe_ends_with_the_last_of_its_processes(patient_spec, corpus, tmp_path, log):
    worker = Worker()
    worker.ask(configure=_configuration(patient_spec, corpus, tmp_path))
    source = in_main("print('running', flush=True)\nwhile True: time.sleep(0.01)")
    worker.send(evaluate={"source": source, "seed": 0, "log": str(log)})
    wait_for(lambda: log.exists() and "running" in log.read_text())
    tree = psutil.Process(worker.process.pid).children(recursive=True)

    worker.process.kill()

    assert worker.process.stdout.read() == b""
    assert survivors(tree) == []
    worker.process.communicate()


def test_the_end_of_stdin_ends_it_and_everything_below_it_in_mid_training(worker, log):
    source = DAEMON.replace(
        "os.wait()", "os.wait()\n    print('running', flush=True)\n    while True: time.sleep(0.01)"
    )
    worker.send(evaluate={"source": source, "seed": 0, "log": str(log)})
    wait_for(lambda: log.exists() and "running" in log.read_text())
    tree = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(tree) >= 3  # zygote, training, daemon

    worker.process.stdin.close()

    assert worker.process.wait(300) == 0
    assert survivors(tree) == []


def _configuration(spec, corpus, scratch):
    settings = {"spec": spec.to_json(), "corpus": corpus.to_json()}
    return {"evaluator": TrainedKind.evaluator, "path": str(ROOT), "settings": settings, "scratch": str(scratch)}
