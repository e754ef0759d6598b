"""The filter itself, in processes of its own: what it refuses, what it leaves, and machines that have no such layer."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from target.errors import TargetError
from target.process.processes import drop_capabilities, user_threads
from target.sandbox import missing_layers, seccomp

ROOT = Path(__file__).parents[2]
RESTRICTED = """
import ctypes, os, signal, socket, subprocess, sys
from target.sandbox import landlock
from target.sandbox import seccomp
from target.process.processes import forbid_new_privileges
libc = ctypes.CDLL(None, use_errno=True)
forbid_new_privileges()
"""


def run(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RESTRICTED + source], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_forbidden_call_is_refused_and_none_kills():
    source = """
seccomp.restrict(signals_to_own_pid=False)
from target.sandbox.syscalls import REFUSED
for name in REFUSED:
    for number in seccomp._numbers({name: REFUSED[name]}):
        ctypes.set_errno(0)
        if (libc.syscall(ctypes.c_long(number), -1, -1, -1, -1, -1, -1), ctypes.get_errno()) != (-1, 1):
            print(name, ctypes.get_errno())
"""
    assert run(source) == ""


def test_what_a_training_needs_is_left():
    source = """
seccomp.restrict(signals_to_own_pid=False)
import threading
a, b = socket.socketpair()
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
child = subprocess.Popen(["sleep", "60"]); child.send_signal(signal.SIGTERM); print(child.wait())
if os.fork() == 0: os._exit(3)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert run(source).split() == ["thread", "-15", "3"]


def test_pairs_of_another_family_and_signals_to_all_are_refused():
    source = """
seccomp.restrict(signals_to_own_pid=False)
for call in (lambda: socket.socketpair(socket.AF_INET), lambda: os.kill(-1, 0)):
    try: call()
    except PermissionError: print("refused")
"""
    assert run(source).split() == ["refused", "refused"]


def test_a_kernel_that_cannot_scope_signals_leaves_only_those_to_oneself():
    source = """
seccomp.restrict(signals_to_own_pid=True)
os.kill(os.getpid(), 0)
try: os.kill(os.getppid(), 0)
except PermissionError: print("refused", flush=True)
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
signal.raise_signal(signal.SIGUSR1)
"""
    assert run(source).split() == ["refused", "heard"]


@pytest.mark.parametrize("number", [444, {"x86_64": 317, "aarch64": 277}[os.uname().machine]])
def test_a_machine_without_a_layer_is_told_from_one_with_it(number):
    source = f"""
seccomp.forbid([{number}], 38)
from target.sandbox import missing_layers, refuse_missing_layers
from target.errors import TargetError
print(len(missing_layers()))
try: refuse_missing_layers()
except TargetError as error: print(error)
"""
    count, message = run(source).splitlines()
    assert int(count) == 1 + len(missing_layers())
    assert ("landlock" if number == 444 else "seccomp") in message
    assert "sandbox=auto" in message


def test_strict_refuses_where_auto_goes_on_and_says_what_was_in_force(spec, corpus, tmp_path):
    source = f"""
import json, pathlib, pickle
seccomp.forbid([444], 38)
from target.errors import TargetError
from target.evaluator import Evaluator
from target.program import Program
from tests.target.candidates import HONEST
import dataclasses
spec, corpus = pickle.loads(bytes.fromhex({_frozen(spec, corpus)!r}))
try:
    with Evaluator(dataclasses.replace(spec, sandbox="strict"), corpus): pass
except TargetError as error: print("strict:", error)
with Evaluator(dataclasses.replace(spec, sandbox="auto"), corpus) as evaluator:
    found = evaluator.evaluate(Program(HONEST), 0, pathlib.Path({str(tmp_path / "log")!r}))
print(found.outcome.value, *found.isolation)
"""
    strict, auto = run(source).splitlines()
    assert strict.startswith("strict: target.sandbox=strict, but this machine lacks landlock")
    assert auto.startswith("ok ")
    assert "seccomp" in auto
    assert "landlock" not in auto


def _frozen(*objects: object) -> str:
    return pickle.dumps(objects).hex()


def test_the_sandbox_may_be_off_where_yaml_reads_false(spec):
    plain = {**dataclasses.asdict(spec), "sandbox": False}

    assert type(spec).from_config(plain).sandbox == "off"
    with pytest.raises(TargetError, match=r"sandbox must be auto, strict or off, got 'on'"):
        dataclasses.replace(spec, sandbox="on")


def test_the_threads_of_a_user_are_counted():
    before = user_threads()
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(5)]
    after = user_threads()
    for child in children:
        child.kill()
        child.wait()

    assert before >= 1
    assert after >= before + 3  # others of the user may end meanwhile


def test_capabilities_are_gone_for_good():
    pid = os.fork()
    if pid == 0:
        drop_capabilities()
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        kept = {int(lines[name], 16) & ~(1 << 2) for name in ("CapEff", "CapPrm")}
        root = os.geteuid() == 0
        os._exit(0 if kept == {0} and (not root or int(lines["CapBnd"], 16) == 1 << 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_filter_is_known_here():
    assert seccomp.available()


def test_only_listed_calls_are_left_and_unknown_ones_look_like_those_of_a_newer_kernel():
    source = """
from target.sandbox.syscalls import LISTED, PROCESSES
seccomp.restrict(signals_to_own_pid=False, listed_only=True, processes="none")
left = {number for group in LISTED.values() for number in seccomp._numbers(group)}
for number in set(range(480)) - left - {335, 336}:  # uprobes of the kernel, which no filter may refuse
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), -1, -1, -1, -1, -1, -1)
    if ctypes.get_errno() not in ((1, 38) if number >= 424 else (1,)):
        print(number, ctypes.get_errno())
import threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
"""
    assert run(source).split() == ["thread"]


PROCESS_CALLS = {
    "fork": "os.fork()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "os.execv('/bin/true', ['true'])",
    "subprocess": "subprocess.run(['true'])",
}


@pytest.mark.parametrize("call", PROCESS_CALLS.values(), ids=PROCESS_CALLS)
def test_where_no_process_may_be_made_none_is(call):
    source = f"""
seccomp.restrict(signals_to_own_pid=False, listed_only=True, processes="none")
try: {call}
except PermissionError: print("refused")
"""
    assert run(source) == "refused\n"


def test_a_child_that_its_parent_would_not_reap_is_refused():
    source = """
seccomp.restrict(signals_to_own_pid=False, listed_only=True, processes="counted")
print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL)
for handler in (signal.SIG_IGN, signal.SIG_DFL, lambda *_: None):
    try: signal.signal(signal.SIGCHLD, handler)
    except PermissionError: print("refused")
clone = 56 if os.uname().machine == "x86_64" else 220
for exit_signal in (0, 10, 33):
    pid = libc.syscall(ctypes.c_long(clone), ctypes.c_long(exit_signal), 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    print("refused" if pid < 0 and ctypes.get_errno() == 1 else pid)
print(subprocess.run([sys.executable, "-S", "-c", "print(1)"], capture_output=True).stdout)
"""
    assert run(source).splitlines() == ["True", *["refused"] * 6, "b'1\\n'"]


RULES = {
    "own signals": "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, 1)",
    "signals by ioctl": "import fcntl; fcntl.ioctl(socket.socketpair()[0], 0x8901, bytes(4))",
    "affinity of another": "os.sched_setaffinity(os.getppid(), {0})",
    "policy of another": "os.sched_setscheduler(os.getppid(), os.SCHED_BATCH, os.sched_param(0))",
    "niceness": "os.setpriority(os.PRIO_PROCESS, 0, 5)",
    "page cache": "os.posix_fadvise(0, 0, 0, os.POSIX_FADV_DONTNEED)",
    "times": "os.utime('/tmp')",
    "subreaper": "libc.prctl(36, 1, 0, 0, 0) == 0 or os.kill(-1, 0)",
    "message": "a, b = socket.socketpair(); a.sendmsg([b'x'])",
    "buffers": "a, b = socket.socketpair(); a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)",
    "page out": "import mmap; m = mmap.mmap(-1, 4096); m.madvise(21)",
}


@pytest.mark.parametrize("line", RULES.values(), ids=RULES)
def test_a_channel_to_other_processes_is_refused_and_open_without_the_filter(line):
    source = f"try: {line}\nexcept PermissionError: print('refused')"
    filtered = 'seccomp.restrict(signals_to_own_pid=False, listed_only=True, processes="counted")\n'

    assert run(filtered + source) == "refused\n"
    assert run(source) == ""
