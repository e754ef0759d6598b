"""Programs that report their own score: what is believed, what is refused, and what they cannot reach."""

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
from target.command.spec import CommandSpec
from target.command.target import CommandTarget, command_target
from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.program.contract import ContractError
from target.sandbox import landlock, namespaces
from tests.checkouts import FILES, TRAIN, autoresearch_spec, git, make_checkout, state_of
from tests.target.conftest import below

DAEMON = """
import os, time
read_fd, write_fd = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write_fd, b"x")
        while True:
            time.sleep(60)
    os._exit(0)
os.wait()
os.read(read_fd, 1)
"""


UNMARKED = "import os, subprocess\nos.mkdir('build')\nopen('build/made', 'w').write('exit 0')\n"
"""Makes a file as a compiler does that may not call chmod."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home directory of a user, with the data that the checkout reads, and a secret."""
    home = tmp_path_factory.mktemp("home")
    (home / ".cache" / "autoresearch").mkdir(parents=True)
    (home / ".cache" / "autoresearch" / "shard.txt").write_text("tokens")
    (home / "secret.txt").write_text("key")
    return home


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("user") / "autoresearch")


@pytest.fixture(scope="module")
def spec(root, home):
    return autoresearch_spec(root, user_home=str(home))


@pytest.fixture(scope="module")
def evaluator(spec, tmp_path_factory):
    snapshot = copy_checkout(spec, tmp_path_factory.mktemp("copy") / "checkout")
    with CommandEvaluator(spec, checkout=snapshot.root, scratch=tmp_path_factory.mktemp("scratch")) as evaluator:
        yield evaluator


@pytest.fixture
def once(tmp_path):
    """Evaluates a program on a target of its own."""

    def evaluate(spec: CommandSpec, source: str) -> Evaluation:
        snapshot = copy_checkout(spec, tmp_path / "copy")
        with CommandEvaluator(spec, checkout=snapshot.root, scratch=tmp_path) as evaluator:
            return evaluator.evaluate(Program(source), 0, tmp_path / "run.log")

    return evaluate


def test_the_checkout_as_it_is_scores_what_it_prints(evaluator, log):
    found = evaluator.evaluate(Program(TRAIN), 10, log)

    assert (found.outcome, found.seed, found.score) == (Outcome.OK, 10, pytest.approx(0.92 + 3e-4))
    assert not found.verified
    assert found.peak_memory_bytes == int(45060.2 * 2**20)
    assert found.n_parameters == 50_300_000
    assert {name: found.reported[name] for name in ("num_steps", "mfu_percent")} == {
        "num_steps": 953,
        "mfu_percent": 39.8,
    }
    assert found.train_seconds > 0
    assert "scrubbed-environment" in found.isolation
    assert "step 00002" in log.read_text()
    assert Evaluation.from_json(found.to_json()) == found


def test_an_evaluation_from_before_the_mark_counts_as_verified():
    record = Evaluation(outcome=Outcome.OK, seed=0, score=1.0).to_json()
    del record["verified"], record["reported"]

    assert Evaluation.from_json(record).verified


def test_files_keep_the_name_of_the_score_that_they_always_had():
    record = Evaluation(outcome=Outcome.OK, seed=0, score=1.25).to_json()

    assert list(record)[:3] == ["outcome", "seed", "val_bpb"]
    assert Evaluation.from_json(record).score == 1.25
    with pytest.raises(ValueError, match="unknown keys in an evaluation: score"):
        Evaluation.from_json({**record, "score": 1.25})


@pytest.mark.parametrize(
    ("printed", "val_bpb"),
    [
        (r"val_bpb: 0.9979\r\ntraining_seconds: 300.1\r\n", 0.9979),
        (r"val_bpb: 2.0\nval_bpb: 1.5\nval_bpb:   0.9\n", 0.9),
        (r"step 1\rval_bpb: 1.25\rdone\n", 1.25),
        (r"the val_bpb: 7\nval_bpb: 1.25", 1.25),
        (r"val_bpb: 0.9979 (EMA)\n", 0.9979),
        (r"val_bpb=0.9979,\n", 0.9979),
        (r"\x1b[1;32mval_bpb:\x1b[0m 0.9979\x1b[0m\n", 0.9979),
        (r"step 100 | val_bpb: 0.99 | NEW BEST\nstep 200 | val_bpb: 0.98 |\n", 0.98),
        (r"2026-03-08 01:02:03 - INFO - val_bpb: 0.99\n", 0.99),
        (r"step 1 | val_bpb: 0.5\nval_bpb: 0.99\nstep 2 | val_bpb: 0.4\n", 0.99),
        (r"val_bpb: 0.99\nval_bpb: n/a\n", 0.99),
        (r"best_val_bpb: 0.1\nval_bpb: 0.99\nval_bpb: 0.99 -> 0.2\n", 0.99),
    ],
    ids=[
        *("CRLF", "the last line counts", "lone CR", "a line of its own", "a remark", "an equals sign", "colours"),
        *("progress", "a log's prefix", "a line of its own before progress", "a word behind a number", "two numbers"),
    ],
)
def test_the_last_line_with_the_metric_is_read_however_lines_end(evaluator, log, printed, val_bpb):
    source = f"import sys\nsys.stdout.buffer.write(b'{printed}')"

    assert evaluator.evaluate(Program(source), 0, log).score == val_bpb


@pytest.mark.parametrize(
    ("source", "outcome", "phrase"),
    [
        ("print('val_bpb: nan')", Outcome.CRASHED, "val_bpb in the output, where the last line"),
        ("print('val_bpb: 1.0\\nval_bpb: nan')", Outcome.CRASHED, "is nan"),
        ("print('val_bpb: inf')", Outcome.CRASHED, "is inf"),
        ("print('val_bpb: 0.000000')", Outcome.CRASHED, "must be above 0, got 0"),
        ("print('val_bpb: skipped')", Outcome.CRASHED, "must be a number, got 'skipped'"),
        ("pass", Outcome.CRASHED, "no 'val_bpb' in the output, where the last line `val_bpb: NUMBER` counts"),
        ("print('all is well')", Outcome.CRASHED, "the last output: all is well"),
        ("print('val_bpb: 1.0')\nraise SystemExit(1)", Outcome.CRASHED, "exit code 1"),
        ("x = 1 / 0", Outcome.CRASHED, "ZeroDivisionError: division by zero\nat train.py:1"),
        ("raise MemoryError", Outcome.OUT_OF_MEMORY, "ran out of memory"),
        ("open('prepare.py', 'a').write('#')\nprint('val_bpb: 0.1')", Outcome.REJECTED, "prepare.py is fixed"),
        ("import os\nos.remove('prepare.py')\nprint('val_bpb: 0.1')", Outcome.REJECTED, "prepare.py is fixed"),
    ],
)
def test_what_has_no_result_fails_and_says_why(evaluator, log, source, outcome, phrase):
    found = evaluator.evaluate(Program(source), 0, log)

    assert (found.outcome, found.score, found.trained, found.verified) == (outcome, None, True, False)
    assert phrase in found.detail


def test_a_pattern_of_the_settings_decides_which_number_counts(spec, once):
    spec = dataclasses.replace(spec, metric="top1", metric_pattern=r"Acc@1 ([\d.]+)", metric_file="result.json")

    assert once(spec, "print('top1: 3')\nprint(' * Acc@1 76.13 Acc@5 92.86')").score == 76.13
    missing = once(spec, "print('top1: 3')")
    assert "counts that matches target.metric_pattern='Acc@1 ([" in missing.detail
    assert "matches `Acc@1 (" in CommandTarget(spec).contract.goal


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


def test_a_run_that_fails_behind_its_score_is_told_apart(evaluator, log):
    found = evaluator.evaluate(Program("print('val_bpb: 1.25')\nraise RuntimeError('x' * 5_000)"), 0, log)

    assert (found.outcome, found.score) == (Outcome.CRASHED, None)
    assert found.detail.startswith(
        "it printed val_bpb: 1.25, but failed afterwards, so that does not count: the command"
    )
    assert "advice" not in found.detail


def test_what_hangs_is_killed_with_all_that_it_started(spec, tmp_path):
    spec = dataclasses.replace(spec, limit_seconds=1.0)
    snapshot = copy_checkout(spec, tmp_path / "copy")
    with CommandEvaluator(spec, checkout=snapshot.root, scratch=tmp_path) as evaluator:
        found = evaluator.evaluate(
            Program(DAEMON + "print('val_bpb: 0.5 [c10d]', flush=True)\nwhile True: time.sleep(60)"),
            0,
            tmp_path / "run.log",
        )
        assert "must end by itself within 1 seconds" in found.detail
        assert "target.worker_processes=true only" in found.detail
        assert (found.outcome, found.score) == (Outcome.TIMED_OUT, None)
        assert "must end by itself within 1 seconds" in found.detail
        assert below(evaluator.zygote_pid) == []


def test_a_daemon_that_is_left_behind_ends_with_the_command(evaluator, log):
    found = evaluator.evaluate(Program(DAEMON + "print('val_bpb: 0.5')"), 0, log)

    assert found.score == 0.5
    assert below(evaluator.zygote_pid) == []


def test_the_checkout_is_as_it_was_whatever_a_program_does(evaluator, root, log):
    before, changed = state_of(root), f"{root}/train.py"
    for source in (
        TRAIN,
        f"open({changed!r}, 'w')",
        f"import os\nos.remove({changed!r})",
        "import shutil\nshutil.rmtree('.')",
    ):
        evaluator.evaluate(Program(source), 0, log)

    assert state_of(root) == before
    assert git(root, "status", "--porcelain", "--ignored") == ""


@pytest.mark.skipif(not landlock.abi(), reason="nothing keeps files from being read without Landlock")
def test_a_command_reads_its_data_and_nothing_else_of_the_user(evaluator, home, root, log, monkeypatch):
    source = f"""
import os, pathlib
print("data:", pathlib.Path.home().joinpath(".cache/autoresearch/shard.txt").read_text())
for name, path, mode in (
    ("secret", {str(home / "secret.txt")!r}, "r"), ("original", {str(root / "train.py")!r}, "r"),
    ("cache", os.path.expanduser("~/.cache/autoresearch/new"), "w"),
):
    try:
        open(path, mode)
        print(f"{{name}}: 1")
    except OSError:
        print(f"{{name}}: 0")
print("keys:", len([name for name in os.environ if "PLANTED" in name]))
open(os.path.expanduser("~/mine"), "w").write("x")
print("val_bpb: 1.0")
"""
    monkeypatch.setenv("PLANTED_API_KEY", "sk")
    found = evaluator.evaluate(Program(source), 0, log)

    assert found.score == 1.0, found.detail
    assert [found.reported[name] for name in ("secret", "original", "cache", "keys")] == [0, 0, 0, 0]
    assert "data: tokens" in log.read_text()
    assert not (home / "mine").exists()


def test_a_text_that_is_not_python_is_refused_before_it_runs(evaluator, log):
    refused = evaluator.preflight(Program("def f(:\n"), log)

    assert refused is not None
    assert (refused.outcome, refused.trained) == (Outcome.REJECTED, False)
    assert "syntax: train.py:1" in refused.detail
    assert evaluator.preflight(Program("x = 1"), log) is None, "no build_model, no main: it is a script"


@pytest.mark.parametrize(
    ("written", "phrase"),
    [
        (None, "without writing result.json"),
        ("{", "is not JSON"),
        ("[1]", "must hold a JSON object"),
        ('{"speed": 1}', "no 'ratio' in result.json"),
        ('{"ratio": "fast"}', "must be a number, got 'fast'"),
        ('{"ratio": true}', "must be a number, got True"),
        ('{"ratio": NaN}', "is nan"),
    ],
)
def test_a_file_without_the_number_fails_and_says_why(once, tmp_path, written, phrase):
    found = once(_measured_by_file(tmp_path), "" if written is None else f"open('result.json', 'w').write({written!r})")

    assert (found.outcome, found.score) == (Outcome.CRASHED, None)
    assert phrase in found.detail


def test_a_number_that_is_maximized_is_a_score_with_its_sign_changed(once, tmp_path):
    found = once(_measured_by_file(tmp_path), "open('result.json', 'w').write('{\"ratio\": 3.5, \"seconds\": 2}')")

    assert (found.outcome, found.score) == (Outcome.OK, -3.5)
    assert found.reported == {"ratio": 3.5, "seconds": 2}


def test_a_result_file_from_before_the_run_is_not_read(once, tmp_path):
    spec = _measured_by_file(tmp_path)
    (spec.root / "result.json").write_text('{"ratio": 99}')

    assert once(spec, "pass").outcome is Outcome.CRASHED


def test_a_result_that_leads_elsewhere_is_not_followed(once, tmp_path):
    (tmp_path / "elsewhere.json").write_text('{"ratio": 99}')
    source = f"import os\nos.symlink({str(tmp_path / 'elsewhere.json')!r}, 'result.json')"

    assert once(_measured_by_file(tmp_path), source).outcome is Outcome.CRASHED


def test_only_tracked_files_are_copied_and_links_lead_to_the_rest(root, tmp_path):
    (root / "run.log").write_text("ignored")
    (root / "notes.txt").write_text("untracked")
    (root / "shards").mkdir()
    (root / "shards" / "0").write_text("data")
    spec = autoresearch_spec(root, links=["shards"])
    try:
        copied = copy_checkout(spec, tmp_path / "copy")
        first = copy_checkout(spec, tmp_path / "again")
        (root / "prepare.py").write_text(FILES["prepare.py"] + "#")
        second = copy_checkout(spec, tmp_path / "changed")
    finally:
        (root / "prepare.py").write_text(FILES["prepare.py"])
        for name in ("run.log", "notes.txt", "shards/0"):
            (root / name).unlink()
        (root / "shards").rmdir()

    assert sorted(path.name for path in copied.root.iterdir()) == sorted(FILES)
    assert copied.hash == first.hash != second.hash
    assert copied.commit == git(root, "rev-parse", "HEAD")


def test_a_directory_that_is_too_large_to_copy_says_what_to_do(tmp_path):
    spec = _measured_by_file(tmp_path)
    with (spec.root / "shard.bin").open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(TargetError, match=r"largest is shard\.bin.*target\.links"):
        copy_checkout(spec, tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"root": "/nowhere/at/all"}, "target.root must be a directory"),
        ({"command": "no-such-program train.py"}, "a program that can be found, got 'no-such-program'"),
        ({"command": "'"}, "target.command cannot be read"),
        ({"command": ""}, "must name a program"),
        ({"direction": "up"}, "minimize or maximize"),
        ({"file": "../train.py"}, "relative and lead downwards"),
        ({"limit_seconds": 0}, "target.limit_seconds must be positive"),
        ({"sandbox": "maybe"}, "auto, strict or off"),
        ({"metrics": "x"}, "does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_told_at_once(root, changes, phrase):
    settings = {**autoresearch_spec(root).to_json(), **changes}

    with pytest.raises(TargetError, match=phrase):
        command_target(**settings).seed_program()


def test_a_fixed_file_that_is_not_there_is_told_before_the_search(root, tmp_path):
    with pytest.raises(TargetError, match=r"target\.fixed names files.*missing\.py"):
        copy_checkout(autoresearch_spec(root, fixed=["missing.py"]), tmp_path / "copy")


def test_the_target_says_what_a_program_must_be(root):
    target = CommandTarget(autoresearch_spec(root))
    told = " ".join((target.contract.brief, target.contract.goal, *target.contract.rules, *target.limits))

    assert target.direction == root / "program.md"
    assert target.seed_program().source == TRAIN
    for phrase in (
        "`train.py`",
        "`python train.py`",
        "`val_bpb: NUMBER`",
        "Lower is better",
        "prepare.py",
        "600 seconds",
    ):
        assert phrase in told
    assert "build_model" not in told
    target.contract.check(TRAIN)
    with pytest.raises(ContractError, match=r"train\.py:1"):
        target.contract.check("def f(:")


def _measured_by_file(tmp_path) -> CommandSpec:
    root = tmp_path / "directory"
    root.mkdir(exist_ok=True)
    (root / "tool.py").write_text("")
    return CommandSpec(
        name="command",
        root=root,
        file="tool.py",
        command="python tool.py",
        metric="ratio",
        metric_file="result.json",
        direction="maximize",
        limit_seconds=60,
        device="cpu",
        threads=1,
        disk_bytes=1 << 30,
    )
