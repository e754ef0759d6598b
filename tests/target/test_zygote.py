"""The zygote and its children, without the evaluator: what they inherit, what they use, and that they end."""

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from target.boundary.job import Job, Role
from target.errors import TargetError
from target.launch import launcher
from target.launch.launcher import Zygote, ZygoteDied
from target.launch.workspace import Workspace
from target.process.clock import Limits
from target.process.runlog import RunLog
from target.sandbox import LAYERS, Confinement
from target.sandbox.access import NO_DEVICE
from tests.target.candidates import FORK_A_DAEMON
from tests.target.conftest import alive, below, survivors
from tests.waiting import wait_for

LIMITS = Limits(cpu_seconds=60, wall_seconds=300)


@pytest.fixture(scope="module")
def shared():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_KEY", "sk-planted")
        zygote = Zygote(threads=1)
    yield zygote
    zygote.close()


@pytest.fixture
def own():
    zygote = Zygote(threads=1, child="tests.target.bare_child")
    yield zygote
    zygote.close()


@pytest.fixture
def run(tmp_path):
    """Run a source as main() of a training; return how it ended, the child, and what it printed."""

    def run(zygote, source, limits=LIMITS, memory_bytes=None):
        with RunLog(tmp_path / "log") as log, Workspace(tmp_path, source, {"mode": "train"}) as space:
            job = _job(space, memory_bytes=memory_bytes)
            with log.pipe() as log_fd, zygote.fork(job, (log_fd,)) as child:
                ending = child.wait(limits)
        return ending, child, log.tail()

    return run


def test_it_has_one_thread_and_a_child_has_torch_already(shared, run):
    assert psutil.Process(shared.pid).num_threads() == 1
    ending, child, said = run(shared, "import sys; print('torch' in sys.modules)")
    assert (ending.status, said) == (0, "True\n")
    assert child.clock.cpu_seconds < 0.5  # importing torch costs more than a second


def test_a_child_inherits_no_descriptor_key_or_home(shared, run):
    source = """
import os, pathlib
links = {}
for fd in sorted(map(int, os.listdir('/proc/self/fd'))):
    try: links[fd] = os.readlink(f'/proc/self/fd/{fd}')
    except FileNotFoundError: pass  # that of the listing itself
print([fd for fd, link in links.items() if not link.startswith(('/proc/', '/sys/'))])
def readable(fd):
    try: os.pread(fd, 1, 0) if os.fstat(fd).st_mode & 0o100000 else os.listdir(fd)
    except OSError: return False
    return True
print([fd for fd in links if fd > 2 and readable(fd)])  # names that are kept, not files that are open
print([name for name in os.environ if 'KEY' in name or 'TOKEN' in name])
print([line for line in pathlib.Path('/proc/self/environ').read_text().split(chr(0)) if 'KEY' in line])
print(all(os.environ[name].startswith(os.getcwd()) for name in ('HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'GRAFT_RUN')))
print(os.getsid(0) == os.getpid(), os.read(0, 1))
"""
    _, child, said = run(shared, source)

    assert said.splitlines() == ["[0, 1, 2]", "[]", "[]", "[]", "True", "True b''"]
    assert {"process-group", "pdeathsig", "rlimits", "scrubbed-environment"} <= set(child.isolation)


def test_no_module_of_the_harness_is_in_the_way_of_the_workspace(shared, run):
    _, _, said = run(
        shared, "import prepare, os, sys; print(prepare.__file__ == os.path.join(os.getcwd(), 'prepare.py'))"
    )
    assert said == "True\n"


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("print('done')", 0, "done"),
        ("import sys; sys.exit(3)", 3 << 8, ""),
        ("import sys; sys.exit('gave up')", 1 << 8, "gave up"),
        ("raise KeyboardInterrupt", 1 << 8, "KeyboardInterrupt"),
        ("1 / 0", 1 << 8, "ZeroDivisionError: division by zero"),
        ("import sys; sys.stdout = None; sys.stderr.close(); 1 / 0", 1 << 8, "ZeroDivisionError"),
        ("import os; os.abort()", signal.SIGABRT, ""),
    ],
)
def test_the_way_a_child_ends_is_told(shared, run, source, status, said):
    ending, _, tail = run(shared, source)

    assert (ending.status, ending.exceeded) == (status, None)
    assert said in tail


def test_an_error_that_is_no_text_is_told_all_the_same(shared, run):
    ending, _, said = run(shared, r"raise ValueError('a\ud800b')")
    assert ending.status == 1 << 8
    assert r"ValueError: a\ud800b" in said


def test_a_daemon_dies_with_the_child(shared, run):
    run(shared, FORK_A_DAEMON)
    assert below(shared.pid) == []


def test_a_fork_bomb_dies_at_the_limit(shared, run):
    source = "import os, time\nfor _ in range(6): os.fork()\nwhile True: time.sleep(0.001)"
    ending, _, _ = run(shared, source, Limits(cpu_seconds=60, wall_seconds=0.5))
    assert "seconds passed" in ending.exceeded.words
    assert below(shared.pid) == []


@pytest.mark.parametrize("parent", ["waits", "leaves"])
def test_the_clock_counts_children_of_children(shared, run, parent):
    source = f"""
import os, signal, time
try:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("children are not waited for")
except PermissionError:
    pass
for _ in range(2):
    if (pid := os.fork()) == 0:
        while time.process_time() < 0.4:
            pass
        os._exit(0)
    if {parent == "waits"}:
        os.wait()
    else:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
"""
    _, child, said = run(shared, source)
    assert said == ""
    assert 0.65 < child.clock.cpu_seconds < 1.2


def test_the_cpu_limit_ends_a_loop(shared, run):
    ending, child, _ = run(shared, "while True: pass", Limits(cpu_seconds=0.3, wall_seconds=60))
    assert "CPU seconds used" in ending.exceeded.words
    assert 0.3 < child.clock.cpu_seconds < 5


def test_address_space_is_limited(shared, run):
    ending, _, said = run(shared, "x = bytearray(4 << 30)", memory_bytes=3 << 30)
    assert ending.status == 1 << 8
    assert "MemoryError" in said


def test_closing_the_connection_ends_the_zygote_and_its_children(own, tmp_path):
    zygote = psutil.Process(own.pid)
    with Path(os.devnull).open("wb") as null:
        own.fork(_daemon_job(tmp_path), (null.fileno(),))
    wait_for(lambda: len(_of(own)) == 2)
    tree = below(own.pid)

    own._socket.close()

    zygote.wait(300)
    assert survivors(tree) == []


def test_a_trial_does_not_begin_while_something_of_another_is_alive(own, tmp_path):
    with Path(os.devnull).open("wb") as null:
        child = own.fork(_daemon_job(tmp_path), (null.fileno(),))
        with pytest.raises(TargetError, match=r"a process of an earlier trial is alive \(\d+"):
            own.fork(_daemon_job(tmp_path), (null.fileno(),))
        with child:
            pass
        with own.fork(_daemon_job(tmp_path), (null.fileno(),)):
            pass


def test_what_could_not_be_killed_in_time_is_killed_before_the_next_trial(own, tmp_path):
    """The zygote's first answer is played: that a tree takes too long to die."""
    real, (ours, theirs) = own._socket, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Path(os.devnull).open("wb") as null, ours, theirs:
        own.fork(_daemon_job(tmp_path), (null.fileno(),))
        own._socket = ours
        theirs.send(json.dumps({"killed": False, "cpu_seconds": 0.0}).encode())
        with pytest.raises(TargetError, match="a process of the trial cannot be killed"):
            own.kill_tree()
        own._socket = real

        with own.fork(_daemon_job(tmp_path), (null.fileno(),)):
            pass
    assert below(own.pid) == []


def test_a_process_that_cannot_be_killed_stops_the_search(own):
    """The zygote's answer is played: nothing here survives SIGKILL."""
    own._socket.close()
    own._socket, zygote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with zygote:
        zygote.send(json.dumps({"killed": False, "cpu_seconds": 0.0}).encode())
        with pytest.raises(TargetError, match="a process of the trial cannot be killed"):
            own.kill_tree()


def test_when_it_is_killed_what_it_leaves_is_ended_too(tmp_path, run):
    zygote = Zygote(threads=1)
    found = []

    def kill_once_there_is_a_daemon():
        wait_for(lambda: len(_of(zygote)) == 2)
        found[:] = below(zygote.pid)
        os.kill(zygote.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_once_there_is_a_daemon)
    killer.start()
    with pytest.raises(ZygoteDied, match="killed"):
        run(zygote, FORK_A_DAEMON + "\nwhile True: time.sleep(0.01)")
    killer.join()

    assert len(found) == 2
    assert survivors(found) == []
    zygote.close()


def test_other_children_of_the_process_survive_the_end_of_a_zygote(own):
    other = psutil.Popen(["sleep", "60"])
    own.receive(0.01)
    own.close()

    assert other.poll() is None
    other.kill()
    other.wait()


def _of(zygote: Zygote) -> list[psutil.Process]:
    """Return its own children that are alive: the program, and its daemon once that has lost its parents."""
    return alive(psutil.Process(zygote.pid).children())


def _daemon_job(tmp_path: Path) -> Job:
    space = Workspace(tmp_path, FORK_A_DAEMON + "\nwhile True: time.sleep(0.01)", {})
    return _job(space)


def _job(space: Workspace, *, memory_bytes: int | None = None) -> Job:
    confinement = Confinement(
        workspace=space.root,
        layers=LAYERS,
        access=NO_DEVICE,
        readable=(),
        withheld=(),
        memory_bytes=memory_bytes,
        file_bytes=1 << 30,
        cpu_seconds=None,
        listed_calls=True,
        processes="counted",
    )
    return Job(
        role=Role.TRAIN,
        confinement=confinement,
        device="cpu",
        threads=1,
        vocab_size=8,
        batch_rows=2,
        sequence_tokens=4,
        tolerance_nats=1e-3,
    )


def test_a_zygote_that_is_killed_at_once_is_one_error(monkeypatch):
    known = launcher.children

    def children_after_its_end(pid):
        for each in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                while "false" in each.name() and each.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.01)
        return known(pid)

    monkeypatch.setattr(launcher.sys, "executable", shutil.which("false"))
    monkeypatch.setattr(launcher, "children", children_after_its_end)

    with pytest.raises(TargetError, match="the zygote did not start"):
        Zygote(threads=1)
