"""What a command may run and use: environments, worker processes, and the advice where it may not."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import venv

import pytest

from target.command.advice import LOADER
from target.command.checkout import copy_checkout
from target.command.evaluator import CommandEvaluator
from target.errors import TargetError
from target.evaluation import Outcome
from target.program import Program
from target.sandbox import namespaces
from tests.checkouts import autoresearch_spec, make_checkout

UNMARKED = "import os, subprocess\nos.mkdir('build')\nopen('build/made', 'w').write('exit 0')\n"
"""Makes a file as a compiler does that may not call chmod."""

WORKERS = """
import multiprocessing, multiprocessing.connection, os, socket
from multiprocessing import shared_memory

def double(x):
    return 2 * x

if __name__ == "__main__":
    assert os.listdir("/dev/shm") == [], "what another training left"
    with multiprocessing.Pool(2) as pool:
        found = pool.map(double, range(3))
    listener = multiprocessing.connection.Listener()
    with multiprocessing.connection.Client(listener.address) as client, listener.accept() as server:
        client.send(found)
        found = server.recv()
    memory = shared_memory.SharedMemory(create=True, size=64)
    open("/dev/shm/left", "w").write("for the next program")
    os.mkdir("/dev/shm/folder")
    with socket.create_server(("localhost", 0)) as server:  # as torchrun does
        socket.create_connection(server.getsockname()).close()
    reached = 0
    for family, address in ADDRESSES:
        try:
            socket.socket(family).connect(address)
            reached += 1
        except OSError:
            pass
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_CRYPTO)
        reached += 1
    except PermissionError:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    print("val_bpb:", sum(found) + reached)
"""


@pytest.mark.parametrize(
    "command",
    [
        "{elsewhere}/bin/python train.py",
        "sh -c '{elsewhere}/bin/python train.py'",
        "env A=1 venv/bin/python train.py",
        "{elsewhere}/bin/tool train.py",
        "~/elsewhere/bin/python train.py",
        "sh -c '. venv/bin/activate && tool train.py'",
    ],
    ids=[
        "its full path",
        "in a shell",
        "in the directory, not tracked",
        "a script of it",
        "in the user's home",
        "activated",
    ],
)
def test_a_command_may_use_a_virtual_environment_that_lies_anywhere(once, tmp_path, command):
    spec = autoresearch_spec(make_checkout(tmp_path / "checkout"), user_home=str(tmp_path), home=[], sandbox="strict")
    for place in (elsewhere := tmp_path / "elsewhere", spec.root / "venv"):
        venv.create(place, symlinks=True)
        (site,) = place.glob("lib/python3*/site-packages")
        (site / "only_there.py").write_text("VALUE = 0.5\n")
        tool = place / "bin" / "tool"
        tool.write_text(f"#!{place}/bin/python\nimport runpy, sys\nrunpy.run_path(sys.argv[1])\n")
        tool.chmod(0o755)

    links = ("venv",) if "activate" in command else ()
    spec = dataclasses.replace(spec, command=command.format(elsewhere=elsewhere), links=links)
    found = once(spec, "import only_there\nprint('val_bpb:', only_there.VALUE)\n")

    assert (found.outcome, found.score) == (Outcome.OK, 0.5), found.detail


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("import subprocess\nsubprocess.check_output(['git', 'rev-parse', 'HEAD'])", "without .git"),
        ("import multiprocessing\nmultiprocessing.Queue()", "num_workers=0"),
        ("import urllib.request\nurllib.request.urlopen('http://example.invalid')", "no network in the sandbox"),
        ("print('[W] socket.cpp:764] [c10d] no addresses')\nraise SystemExit(1)", "target.worker_processes=true only"),
        ("import a_package_that_is_not_installed", "target.command='.venv/bin/python train.py'"),
        ("open('data/train.bin')", "target.links"),
        (UNMARKED + "raise SystemExit(subprocess.call(['sh', '-c', './build/made']) and 1)", LOADER),
        (UNMARKED + "subprocess.run(['./build/made'])", LOADER),
        ("import os\nos.chmod('train.py', 0o755)", LOADER),
        ("import subprocess\nsubprocess.run(['chmod', '+x', 'train.py'], check=True)", LOADER),
    ],
    ids=[
        *("git", "worker processes", "network", "torchrun", "Python", "data"),
        *("a program that was made", "the same without a shell", "chmod", "chmod in a shell"),
    ],
)
def test_a_common_reason_for_a_failure_comes_with_what_to_do(evaluator, log, source, advice):
    found = evaluator.evaluate(Program(source), 0, log)

    assert found.outcome is Outcome.CRASHED
    assert advice in found.detail.rpartition("advice: ")[2]


@pytest.mark.skipif(namespaces.missing() is not None, reason="bubblewrap is missing")
def test_worker_processes_share_memory_with_each_other_and_with_nothing_else(spec, tmp_path_factory, log):
    spec = dataclasses.replace(spec, worker_processes=True)
    folder = tmp_path_factory.mktemp("workers")
    snapshot = copy_checkout(spec, folder / "copy")
    places = [(1, f"\0graft-{os.getpid()}"), (1, str(tmp_path_factory.mktemp("others") / "s")), (2, ("127.0.0.1", 0))]
    addresses = []
    with contextlib.ExitStack() as stack:
        for family, place in places:
            listening = stack.enter_context(socket.socket(family))
            listening.bind(place)
            listening.listen()
            addresses.append((family, place if family == socket.AF_UNIX else listening.getsockname()))
        (folder / "scratch").mkdir()
        evaluator = stack.enter_context(
            CommandEvaluator(spec, checkout=snapshot.root, scratch=folder / "scratch"),
        )
        program = Program(WORKERS.replace("ADDRESSES", repr(addresses)))
        found = [evaluator.evaluate(program, seed, log) for seed in (0, 1)]

    assert [each.score for each in found] == [6.0, 6.0], found[0].detail


def test_worker_processes_without_namespaces_are_refused(spec, tmp_path, monkeypatch):
    monkeypatch.setattr("target.command.evaluator.namespaces.missing", lambda: "namespaces (the program bwrap)")
    spec = dataclasses.replace(spec, worker_processes=True)
    with (
        pytest.raises(TargetError, match=r"worker_processes=true needs a /dev/shm .* lacks namespaces .*num_workers=0"),
        CommandEvaluator(spec, checkout=copy_checkout(spec, tmp_path / "copy").root, scratch=tmp_path),
    ):
        pass
