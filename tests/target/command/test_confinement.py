"""What a command cannot do: outlive its run, change the directory of the user, or read what is not its own."""

from __future__ import annotations

import dataclasses

import pytest

from target.command.checkout import copy_checkout
from target.command.evaluator import CommandEvaluator
from target.evaluation import Outcome
from target.program import Program
from target.sandbox import landlock
from tests.checkouts import TRAIN, git, state_of
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
