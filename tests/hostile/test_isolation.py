# ruff: noqa: E501 -- one candidate a row, as in a table
"""What the layers between a candidate and the machine stop. Every theft here succeeds without them, which is tested too."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from target.evaluation import Outcome
from target.program import Program
from target.sandbox import landlock
from tests.target.candidates import FORK_A_DAEMON, HONEST, in_forward, in_main
from tests.target.conftest import below

OK, CRASHED, TIMED_OUT, OUT_OF_MEMORY = Outcome.OK, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY
PLANTED = "sk-planted-4711"
DENIED = "PermissionError|FileNotFoundError|ProcessLookupError|ConnectionRefusedError|IndexError|Read-only file system"
LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\ndef must(result):\n    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n    return result\n"

# name, what it tries, lines of main() that print STOLEN once they have it, layers that stop it, each one by itself:
# L Landlock, S seccomp, N namespaces, C capabilities: root's candidates have fewer than the processes they attack, unless
# those are in namespaces, and have no more themselves. `pytest tests/hostile --without LAYER` checks this column.
THEFTS = [
    ("sealed text", "read sealed/val.bin", "import json, pathlib\nprint('STOLEN', pathlib.Path(json.load(open(os.environ['GRAFT_RUN']))['public']).parent.joinpath('sealed/val.bin').read_bytes()[:9])", "LN"),
    ("text, untokenised", "read the corpus where it is installed", "print('STOLEN', open('{text}').read()[:9])", "LN"),
    ("text, copied", "read a renamed copy beside shared libraries", "print('STOLEN', open('{copies}/renamed.txt').read()[:9])", "L"),
    ("text, compiled", "read the corpus in a .pyc", "print('STOLEN', open('{copies}/other.pyc', 'rb').read()[:9])", "L"),
    ("text, zipped", "read the corpus in a wheel", "import zipfile\nprint('STOLEN', zipfile.ZipFile('{copies}/any.whl').namelist())", "L"),
    ("other packages", "read a package that torch does not need", "print('STOLEN', open('{package}').read()[:9])", "L"),
    ("key file", "read a private key in a home", "print('STOLEN', open('{planted}/.ssh/id_ed25519').read())", "LN"),
    ("environment", "read another process's environment", "if 'API_KEY' in open('/proc/{rich}/environ').read(): print('STOLEN')", "LNC"),
    ("other trial", "read another trial's weights", "import pathlib\nprint('STOLEN', [p.read_bytes() for p in pathlib.Path.cwd().parents[1].rglob('weights.pt')][0])", "LN"),
    ("list home", "list a home", "print('STOLEN', os.listdir('{planted}'))", "LN"),
    ("write outside", "leave a file in a home", "open('{planted}/new', 'w').close(); print('STOLEN')", "LN"),
    ("empty a file", "truncate a file of the user's", "os.truncate('{planted}/victim', 0); print('STOLEN')", "LN"),
    ("delete", "delete a file of the user's", "os.unlink('{planted}/victim2'); print('STOLEN')", "LN"),
    ("change mode", "make a file of the user's unreadable", "os.chmod('{planted}/victim', 0o600); print('STOLEN')", "SN"),
    ("patch torch", "open torch for writing", "open(torch.__file__, 'a').close(); print('STOLEN')", "LN"),
    ("patch prepare", "make prepare.py writable", "os.chmod('prepare.py', 0o644); open('prepare.py', 'a').close(); print('STOLEN')", "LS"),
    ("patch tokenizer", "open tokenizer.json for writing", "import json\nopen(json.load(open(os.environ['GRAFT_RUN']))['public'] + '/tokenizer.json', 'a').close(); print('STOLEN')", "LN"),
    ("patch byte table", "open token_bytes.bin for writing", "import json\nopen(json.load(open(os.environ['GRAFT_RUN']))['public'] + '/../sealed/token_bytes.bin', 'a').close(); print('STOLEN')", "LN"),
    ("network", "connect to a TCP server on this machine", "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5); print('STOLEN')", "LSN"),
    ("udp", "send a datagram", "import socket\nsender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nsender.connect(('127.0.0.1', {port}))\nfor _ in range(2): sender.send(b'x')  # the second one fails if the first was refused\nprint('STOLEN')", "SN"),
    ("socket file", "connect to a daemon's socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('{planted}/daemon'); print('STOLEN')", "SN"),
    ("abstract socket", "connect to an abstract socket", "import socket\nsocket.socket(socket.AF_UNIX).connect(chr(0) + 'graft-test-{port}'); print('STOLEN')", "LSN"),
    ("ptrace", "trace the zygote", LIBC + "must(libc.ptrace(0x4206, os.getppid(), None, None)); print('STOLEN')", "LSC"),
    ("read memory", "process_vm_readv on the zygote", LIBC + "buffer = ctypes.create_string_buffer(8)\nwhere = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8), (ctypes.c_size_t * 2)(id(torch), 8)\nmust(libc.process_vm_readv(os.getppid(), where[0], 1, where[1], 1, 0)); print('STOLEN')", "LSC"),
    ("/proc/mem", "open the zygote's memory", "open(f'/proc/{{os.getppid()}}/mem', 'rb').close(); print('STOLEN')", "LC"),
    ("descriptors", "open a descriptor of the zygote", "print('STOLEN', os.listdir(f'/proc/{{os.getppid()}}/fd'))", "L"),
    ("signal", "signal the zygote", "import signal\nos.kill(os.getppid(), signal.SIGWINCH); print('STOLEN')", "LS"),
    ("signal worker", "signal the zygote's parent", "import signal\nos.kill({harness}, signal.SIGWINCH); print('STOLEN')", "LSN"),
    ("signal all", "signal all processes", "os.kill(-1, 0); print('STOLEN')", "SN"),  # Landlock stops each signal, but the call succeeds
    ("namespace", "become root in a new namespace", LIBC + "must(libc.unshare(0x10000000)); print('STOLEN')", "S"),
    ("cleave", "clone into a new user namespace", LIBC + "pid = must(libc.syscall(56 if os.uname().machine == 'x86_64' else 220, ctypes.c_long(0x10000011), 0, 0, 0, 0))\nif pid: print('STOLEN')\nelse: os._exit(0)", "S"),
    ("shared memory", "leave memory behind (System V)", LIBC + "must(libc.shmctl(must(libc.shmget(0, 4096, 0o1600)), 0, None)); print('STOLEN')", "S"),
    ("/dev/shm", "leave memory behind (POSIX)", "open('/dev/shm/graft-test-{port}', 'w').close(); os.unlink('/dev/shm/graft-test-{port}'); print('STOLEN')", "LN"),
]  # fmt: skip

LIMITS = [
    ("50 GB", "allocate 50 GB", "x = bytearray(50 << 30)", OUT_OF_MEMORY, "out of memory"),
    ("50 GB, torch", "allocate 50 GB in torch", "x = torch.empty(50 << 28)", OUT_OF_MEMORY, "out of memory"),
    ("huge file", "write more than a file may hold", "os.truncate(os.open('out/x', os.O_RDWR | os.O_CREAT), 1 << 40)", CRASHED, "File too large"),
    ("50 GB, hidden", "allocate in memory files", "files = [os.memfd_create('x') for _ in range(50)]\nfor fd in files: os.truncate(fd, 1 << 30)", CRASHED, "Operation not permitted|File too large"),
    ("disk fill", "write a gigabyte in ten files", "for n in range(10):\n    with open(f'tmp/{n}', 'wb') as file:\n        for _ in range(100): file.write(bytes(1_000_000))\ntime.sleep(9)", CRASHED, "too much disk"),
    ("disk fill, hidden", "write it to files that are deleted", "files = []\nfor n in range(10):\n    files.append(open('tmp/x', 'wb')); os.unlink('tmp/x')\n    for _ in range(100): files[-1].write(bytes(1_000_000))\ntime.sleep(9)", CRASHED, "too much disk"),
    ("many files", "make six thousand files", "for n in range(6_000): os.close(os.open(f'tmp/{n}', os.O_CREAT | os.O_WRONLY))\ntime.sleep(9)", CRASHED, "files are allowed"),
    ("open files", "open files without end", "files = [os.open('run.json', os.O_RDONLY) for _ in range(10**6)]", CRASHED, "Too many open files"),
    ("raise limits", "lift its own limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))", CRASHED, "not allowed to raise"),
    ("fork bomb", "fork 2**6 processes and spin", "for _ in range(6): os.fork()\nwhile True: pass", TIMED_OUT, "still running"),
    ("daemon", "leave a process behind, and finish", FORK_A_DAEMON, OK, ""),
    ("unkillable", "ignore every signal that may be ignored, and spin", "import signal\nfor n in range(1, 32):\n    if n not in (9, 17, 19): signal.signal(n, signal.SIG_IGN)\nwhile True: pass", TIMED_OUT, "still running"),
    ("unreaped", "have the kernel forget the CPU time of its children", "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", CRASHED, "Operation not permitted"),
]  # fmt: skip


ONLY_BY_SECCOMP = {"unreaped"}
FILL_THE_DISK = {"many files", "disk fill", "disk fill, hidden"}
"""On a busy machine files cost CPU seconds, and a training has few."""


@pytest.fixture(scope="module")
def bait(tmp_path_factory, scratch, held_out_text, copies):
    """Everything worth stealing, for real: files, an environment, servers."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "id_ed25519").write_text(PLANTED)
    (scratch / "graft-other" / "run-other" / "out").mkdir(parents=True, exist_ok=True)  # again for other grants
    (scratch / "graft-other" / "run-other" / "out" / "weights.pt").write_text(PLANTED)
    rich = subprocess.Popen(["sleep", "3600"], env={**os.environ, "API_KEY": PLANTED})
    servers = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    port = servers[0].getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", port))
    servers[1].bind(str(home / "daemon"))
    servers[2].bind(f"\0graft-test-{port}")
    for server in servers:
        server.listen()
    places = {"text": held_out_text, "copies": copies, "package": pytest.__file__}
    yield {"planted": home, "port": port, "rich": rich.pid, "harness": os.getpid(), **places}
    rich.kill()
    rich.wait()
    for server in (*servers, datagrams):
        server.close()


def plant(bait: dict[str, object], lines: str) -> Program:
    home = Path(str(bait["planted"]))
    for name in ("victim", "victim2"):
        (home / name).write_text(PLANTED)
    return Program(in_main(_fill(lines, bait)))


def stolen(log: Path) -> bool:
    """Return whether the candidate printed that it has something; a traceback may quote its lines."""
    return any(line.startswith("STOLEN") for line in log.read_text().splitlines())


def _fill(lines: str, bait: dict[str, object]) -> str:
    for name, value in bait.items():
        lines = lines.replace(f"{{{name}}}", str(value))
    return lines.replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize(("name", "tries", "lines", "layers"), THEFTS, ids=[row[0] for row in THEFTS])
def test_a_theft_is_stopped_by_any_of_its_layers(confined, in_force, bait, log, tell, name, tries, lines, layers):
    found = confined.evaluate(plant(bait, lines), 0, log)

    if not in_force & set(layers):
        tell(name, tries, found, outcome="NOT STOPPED" if stolen(log) else None)
        assert stolen(log) or _refused_to_everybody(name), found.detail
        return
    tell(name, tries, found)
    assert not stolen(log)
    assert PLANTED not in log.read_text() + found.detail
    assert found.outcome is CRASHED, found.detail
    assert re.search(DENIED, found.detail), found.detail
    assert (Path(str(bait["planted"])) / "victim").read_text() == PLANTED


@pytest.mark.parametrize(("name", "lines"), [(row[0], row[2]) for row in THEFTS], ids=[row[0] for row in THEFTS])
def test_the_same_theft_succeeds_without_the_layers(unconfined, bait, log, name, lines):
    unconfined.evaluate(plant(bait, lines), 0, log)

    assert stolen(log) or _refused_to_everybody(name)


def _refused_to_everybody(name: str) -> bool:
    """Return whether the machine refuses a theft to the user of the tests too, so that it shows nothing."""
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    traces = os.geteuid() == 0 or not yama.exists() or yama.read_text().strip() == "0"
    return {"patch torch": not os.access(torch.__file__, os.W_OK), "ptrace": not traces, "read memory": not traces,
            "/proc/mem": not traces}.get(name, False)  # fmt: skip


@pytest.mark.parametrize(("name", "tries", "lines", "outcome", "said"), LIMITS, ids=[row[0] for row in LIMITS])
def test_a_limit_holds_and_nothing_is_left(confined, patient, in_force, log, tell, name, tries, lines, outcome, said):
    evaluator = patient if name in FILL_THE_DISK else confined
    found = evaluator.evaluate(Program(in_main(lines)), 0, log)

    tell(name, tries, found)
    assert below(evaluator.zygote_pid) == []
    if name in ONLY_BY_SECCOMP and "S" not in in_force:
        assert found.outcome is OK, found.detail
        return
    assert found.outcome is outcome, found.detail
    assert re.search(said, found.detail), found.detail


_EIGHT_HOARDS = "for _ in range(3): os.fork()\nx = b'x' * 250_000_000\ntime.sleep(9)"  # long enough to be seen


@pytest.mark.parametrize(
    ("source", "when"),
    [(in_main(_EIGHT_HOARDS), "training"), (in_forward(f"if not self.training: exec({_EIGHT_HOARDS!r})"), "forward()")],
    ids=["trained", "served"],
)
def test_the_memory_of_all_processes_together_has_a_limit(patient, log, tell, source, when):
    found = patient.evaluate(Program(source), 0, log)

    tell("50 GB, shared out", f"allocate 250 MB in each of eight processes: {when}", found)
    assert found.outcome is OUT_OF_MEMORY, found.detail
    assert when in found.detail
    assert "held" in found.detail
    assert below(patient.zygote_pid) == []


def test_a_checkpoint_is_not_there_for_the_next_trial(confined, in_force, log, tell, tmp_path):
    places = f"[os.environ[n] for n in ('HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'TORCHINDUCTOR_CACHE_DIR')] + ['.', '..', '/tmp', '/var/tmp', '/dev/shm', '{tmp_path}']"
    leave = f"for place in {places}:\n    try:\n        os.makedirs(place, exist_ok=True); open(place + '/graft-warm-start', 'w').write('w'); print('LEFT', place)\n    except OSError: pass"
    fetch = f"for place in {places}:\n    try:\n        print('STOLEN', open(place + '/graft-warm-start').read())\n    except OSError: pass"

    left = confined.evaluate(Program(in_main(leave)), 0, log)
    n_left = log.read_text().count("LEFT")
    found = confined.evaluate(Program(in_main(fetch)), 0, log)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):  # without layers it gets there
        Path(place, "graft-warm-start").unlink(missing_ok=True)

    tell("warm start", "leave a checkpoint in caches and directories", left)
    if "L" not in in_force:
        tell("warm start, 2", "find it in the next trial", found, outcome="NOT STOPPED")
        assert stolen(log)
        return
    tell("warm start, 2", "find it in the next trial", found)
    assert n_left == 4
    assert not stolen(log)
    assert found.outcome is left.outcome is OK
    assert found.score == pytest.approx(left.score, abs=1e-6)


def test_an_honest_program_scores_the_same_with_and_without(confined, unconfined, in_force, log, tell):
    program = Program(HONEST)

    assert confined.preflight(program, log) is None
    inside, outside = (evaluator.evaluate(program, 7, log) for evaluator in (confined, unconfined))

    tell("honest", "honest: with the layers and without", inside, hostile=False)
    assert inside.outcome is OK
    assert (inside.weights_sha256, inside.score) == (outside.weights_sha256, pytest.approx(outside.score, abs=1e-6))
    names = {"L": f"landlock-{landlock.abi()}", "S": "seccomp", "N": "namespaces"}
    assert {names[layer] for layer in in_force - {"C"}} | {"no-capabilities"} <= set(inside.isolation)
    assert not set(names.values()) & set(outside.isolation)
