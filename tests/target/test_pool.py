"""Workers that do not end when they are told to."""

import os
import signal
import threading

import pytest

from target.errors import TargetError
from target.workers import Pool, WorkerProcess, pool, process
from tests.waiting import wait_for

WAIT_SECONDS = 100


def test_a_worker_that_does_not_even_read_is_killed_when_it_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(process, "_END_SECONDS", 0.01)
    worker = WorkerProcess({})
    os.kill(worker._process.pid, signal.SIGSTOP)  # as in a call that lets no other thread run
    workers = Pool([lambda: worker], {"evaluate": {}}, tries=1)
    wait_for(lambda: workers._seats[0]._worker is worker)

    workers.abandon()

    with pytest.raises(TargetError, match="a worker died 1 times at its start: exit status -9"):
        workers._seats[0].ready.result(WAIT_SECONDS)
    workers.join()


class Endless:
    """No signal ends it, as a process that waits in a driver."""

    def __init__(self):
        self.over = threading.Event()

    def ask(self, request):
        self.over.wait()

    def hang_up(self):
        pass

    def end(self):
        return ""


def test_a_worker_that_nothing_ends_is_left_and_told(monkeypatch, caplog):
    monkeypatch.setattr(pool, "_JOIN_SECONDS", 0.01)
    worker = Endless()
    workers = Pool([lambda: worker], {"configure": {}}, tries=1)
    wait_for(lambda: workers._seats[0]._worker is worker)
    closing = threading.Thread(target=workers.join, daemon=True)

    workers.abandon()
    closing.start()
    closing.join(WAIT_SECONDS)

    assert "1 of 1 workers should have ended within 0.01 s and have not" in caplog.text
    worker.over.set()
