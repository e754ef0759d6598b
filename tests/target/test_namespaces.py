"""Namespaces: what is in them, that they end with their first process, and a machine that lacks them."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.program import Program
from target.sandbox import namespaces
from tests.target.candidates import DAEMON, HONEST, in_main
from tests.target.conftest import alive, below, survivors

needed = pytest.mark.skipif(namespaces.missing() is not None, reason=f"this machine lacks {namespaces.missing()}")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def without_bwrap(monkeypatch):
    monkeypatch.setenv("PATH", "")
    namespaces._probe.cache_clear()
    yield
    namespaces._probe.cache_clear()


def run(command, view):
    return subprocess.run(namespaces.wrap(command, view), capture_output=True, text=True, timeout=300, check=False)


@needed
def test_there_is_one_process_no_network_and_nothing_private(tmp_path):
    (tmp_path / "key").write_text("planted")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "text").write_text("public")
    (tmp_path / "scratch").mkdir()
    view = namespaces.View(writable=(tmp_path / "scratch",), readable=(tmp_path / "public",), withheld=(Path("/etc"),))
    found = run(
        [sys.executable, "-c", f"""
import os, socket
print(os.getpid(), sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))
print([name for _, name in socket.if_nameindex()])
print(sorted(os.listdir('{tmp_path}')), os.listdir('/etc'), os.listdir('/dev/shm'))
print(open('{tmp_path}/public/text').read())
open('{tmp_path}/scratch/new', 'w').write('x')
for place in ('{tmp_path}', '{tmp_path}/public', '/', '/usr', '/dev/shm', '/etc'):
    try: open(place + '/new', 'w'); print('written', place)
    except OSError: pass
"""], view,
    )  # fmt: skip

    assert found.stdout.splitlines() == ["1 [1]", "['lo']", "['public', 'scratch'] [] []", "public"], found.stderr
    assert (tmp_path / "scratch" / "new").read_text() == "x"


@needed
def test_an_evaluation_in_namespaces_says_so_and_its_clock_still_counts(evaluator, log):
    found = evaluator.evaluate(Program(HONEST), 1, log)
    assert found.outcome is Outcome.OK
    assert "namespaces" in found.isolation
    assert found.train_seconds > 0.01
    assert found.peak_memory_bytes > 50_000_000


@needed
def test_a_daemon_does_not_survive_a_kill_of_the_zygote_and_all_above_it_at_once(spec, corpus, tmp_path):
    source = DAEMON.replace("os.wait()", "os.wait()\n    while True: time.sleep(0.01)")
    program = f"""
import pathlib, pickle
from target.evaluator import Evaluator
from target.program import Program
spec, corpus = pickle.loads(pathlib.Path({str(tmp_path / "frozen")!r}).read_bytes())
with Evaluator(spec, corpus, scratch=pathlib.Path({str(tmp_path)!r})) as evaluator:
    print(evaluator.zygote_pid, flush=True)
    evaluator.evaluate(Program({source!r}), 0, pathlib.Path({str(tmp_path / "log")!r}))
"""
    slow = dataclasses.replace(spec, train_seconds=1000)
    (tmp_path / "frozen").write_bytes(pickle.dumps((slow, corpus)))
    worker = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert worker.stdout is not None
    zygote = int(worker.stdout.readline())
    deadline = time.monotonic() + 300
    while len(alive(psutil.Process(zygote).children())) < 2:  # the candidate, and the daemon once it is an orphan
        assert time.monotonic() < deadline, "the candidate started no daemon"
        os.sched_yield()
    tree = [psutil.Process(zygote), *below(zygote)]
    for pid in (zygote, worker.pid):
        os.kill(pid, signal.SIGKILL)
    worker.wait()

    assert survivors(tree) == []


def test_without_bwrap_auto_goes_on_and_strict_says_what_to_install(without_bwrap, spec, corpus, tmp_path, log):
    assert "apt install bubblewrap" in (namespaces.missing() or "")
    with Evaluator(dataclasses.replace(spec, sandbox="auto"), corpus, scratch=tmp_path) as evaluator:
        found = evaluator.evaluate(Program(in_main("print(os.getpid())")), 0, log)
        assert found.outcome is Outcome.OK
        assert "namespaces" not in found.isolation
    with (
        pytest.raises(TargetError, match=r"sandbox=strict, but this machine lacks .*bwrap.* sandbox=auto does without"),
        Evaluator(dataclasses.replace(spec, sandbox="strict"), corpus, scratch=tmp_path),
    ):
        pass


def test_a_machine_that_forbids_namespaces_is_told_from_one_without_the_program(tmp_path):
    """Unsharing fails as it does in most containers."""
    source = """
import errno, platform
from target.sandbox import namespaces
from target.sandbox import seccomp
from target.process.processes import forbid_new_privileges
forbid_new_privileges()
clone, clone3, unshare = {"x86_64": (56, 435, 272), "aarch64": (220, 435, 97)}[platform.machine()]
seccomp.install([(0x20, 0, 0, 0), *seccomp._if(clone, 0x45, 0x7E020000)])
seccomp.forbid([clone3], errno.ENOSYS)
seccomp.forbid([unshare], errno.EPERM)
print(namespaces.missing())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=env, check=True)

    said = "bwrap must work here, but it said" if shutil.which("bwrap") else "bwrap is required"
    assert said in found.stdout
