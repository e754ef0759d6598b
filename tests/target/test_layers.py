"""A stand-in for the driver of a GPU inside the layers: every grant is needed, and none is wider than said."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.launch.layers import ALL, NONE, check_layers, refuse_what_stops
from target.program import Program
from target.sandbox import landlock, namespaces, seccomp
from target.sandbox.access import NO_DEVICE, access_to, rehearsed_access
from tests.target.candidates import HONEST, in_main

ROOT = Path(__file__).parents[2]
here = {
    "landlock": landlock.abi() > 0,
    "seccomp": seccomp.available(),
    "namespaces": namespaces.missing() is None,
    "no-capabilities": True,
}

# what is taken away, the layers that then stop the driver, and its words
BROKEN = [
    ({}, (), ""),
    ({"unix_sockets": False}, ("seccomp",), "could not make a socket"),
    ({"thread_names": False}, ("landlock",), "could not name a thread from another one"),
    ({"readable": ()}, ("landlock",), "could not read /proc/"),
    ({"devices": ()}, ("landlock", "namespaces"), "could not open and control"),
]


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A character device of the test's own in place of /dev/nvidia0; without the right to make one, /dev/full."""
    path = tmp_path_factory.mktemp("devices") / "graft0"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.open("rb").close()  # a file system may be mounted without devices
    except PermissionError:
        return "/dev/full"
    return str(path)


@pytest.mark.parametrize(("without", "layers", "said"), BROKEN, ids=[next(iter(row[0]), "granted") for row in BROKEN])
def test_the_start_of_a_driver_passes_every_layer_and_needs_every_grant(device, without, layers, said):
    access = dataclasses.replace(rehearsed_access(device), **without)
    if device == "/dev/full":
        layers = tuple(name for name in layers if name != "namespaces")  # bubblewrap brings that one itself

    found = {each.name: each for each in check_layers("cuda", access=access, rehearsed_device=device)}

    stopping = {name for name in layers if here[name]}
    expected = stopping | ({ALL} if stopping else set())
    assert {name for name, each in found.items() if not each.ok} == expected, found
    assert {name for name, each in found.items() if each.lacking} == {name for name, there in here.items() if not there}
    for name in expected:
        assert said in found[name].said
        assert "target.sandbox=off" in found[name].remedy or "bwrap" in found[name].remedy
    assert found[NONE].ok


def test_a_training_is_scored_with_the_grants_of_a_gpu_and_only_its_own_threads_get_names(spec, corpus, tmp_path):
    """The server talks to the scorer over a socket, and `connect` and messages are refused there."""
    lines = """
import ctypes, socket, threading
libc = ctypes.CDLL(None)
def named():
    stop = threading.Event(); thread = threading.Thread(target=stop.wait); thread.start()
    error = libc.pthread_setname_np(ctypes.c_ulong(thread.ident), b"x"); stop.set(); thread.join()
    return error
def refused(call):
    try: call()
    except PermissionError: return True
    return False
one, other = socket.socketpair(); one.send(b"x"); print("pair", other.recv(1))
unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); unix.bind("")
print("refused", [refused(call) for call in (
    lambda: unix.connect(chr(0) + "x"), lambda: unix.sendto(b"x", chr(0) + "x"), lambda: one.sendmsg([b"x"]),
    lambda: socket.socket(socket.AF_INET), lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    lambda: socket.socket(socket.AF_VSOCK))])
print("named", named(), flush=True)
if os.fork() == 0:
    print("descendant", named(), flush=True)
    os._exit(0)
os.wait()
"""
    log = tmp_path / "log"
    with Evaluator(spec, corpus, scratch=tmp_path, access=rehearsed_access("/dev/full")) as evaluator:
        found = evaluator.evaluate(Program(in_main(lines)), 0, log)
        honest = evaluator.evaluate(Program(HONEST), 0, log.with_name("honest"))

    said = log.read_text()
    assert found.outcome is honest.outcome is Outcome.OK, found.detail + honest.detail
    assert "pair b'x'" in said
    if seccomp.available():
        assert f"refused {[True] * 6}" in said
    assert "named 0" in said
    if landlock.abi():
        assert "descendant 13" in said  # EACCES: what CUDA in a child of a training gets


def test_preflight_gets_no_device(evaluator, log):
    """A pre-flight runs beside a training, which has the card to itself."""
    opens = HONEST + "\nimport os\nos.close(os.open('/dev/full', os.O_RDWR))\n"
    found = evaluator.preflight(Program(opens), log)

    assert found is not None
    assert "Permission denied" in found.detail


def test_preflight_does_not_say_that_it_has_no_device(evaluator, log):
    """On a machine with a GPU, torch warns in each pre-flight that the driver does not start: "Error 304"."""
    warns = HONEST + "\nimport warnings\nwarnings.warn('CUDA initialization: Unexpected error ... Error 304: ...')\n"

    assert evaluator.preflight(Program(warns), log) is None

    assert "Error 304" not in log.read_text()


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_rules_outlive_the_kernel_s_cache_of_names():
    """Under pressure of memory the kernel forgets names in /proc, and with them a rule, unless they are kept open."""
    source = """
import os, pathlib
from target.sandbox import landlock
from target.sandbox.landlock import Access, Grant
from target.process.processes import forbid_new_privileges
forbid_new_privileges()
try: drop = os.open("/proc/sys/vm/drop_caches", os.O_WRONLY)
except PermissionError: raise SystemExit("only root may empty the cache")
grants = [Grant(pathlib.Path(path), Access.READ) for path in ("/proc/self", "/proc/meminfo", "/sys/devices/system/cpu")]
landlock.restrict(grants, (), landlock.abi())
for _ in range(5):
    os.write(drop, b"2")
    for path in ("/proc/self/status", "/proc/meminfo", "/sys/devices/system/cpu/online"): open(path).close()
print("read")
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)

    if "only root" in done.stderr:
        pytest.skip("only root may empty the cache of the kernel")
    assert done.stdout == "read\n", done.stderr


@pytest.mark.parametrize(
    ("files", "devices", "readable"),
    [
        (("dev/nvidiactl", "dev/nvidia0"), ("nvidia0", "nvidiactl"), "/proc/driver/nvidia"),
        (("dev/dxg",), ("dxg",), "/proc/sys/vm/mmap_min_addr"),
        (("dev/kfd", "dev/dri/renderD128"), ("kfd", "dri"), "/sys/class/kfd"),
        ((), (), None),
    ],
    ids=["nvidia", "wsl2", "rocm", "none"],
)  # fmt: skip
def test_a_device_is_granted_where_its_driver_is(tmp_path, files, devices, readable):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = access_to("cuda", root=tmp_path)

    assert tuple(Path(path).name for path in found.devices) == devices
    assert (readable in found.readable) if readable else not found.readable
    assert ("/usr/lib/wsl" in found.runnable) == ("dev/dxg" in files)
    assert access_to("cpu", root=tmp_path) == NO_DEVICE


def test_without_a_gpu_the_error_says_that_the_machine_is_to_blame_and_not_a_layer():
    if access_to("cuda").devices:
        pytest.skip("this machine has a GPU")
    with pytest.raises(TargetError, match=re.escape("cuda did not start in the sandbox (Error 304), but")):
        refuse_what_stops("cuda", "Error 304")  # the rehearsal passes here
