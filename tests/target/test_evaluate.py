"""The command line, as a user types it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from target.evaluate import load_target, main
from target.spec import SEED_PROGRAM
from tests.cards import H100, TWO_H100, pretend
from tests.target.candidates import HONEST, LEAK

ROOT = Path(__file__).parents[2]
QUICK = ["--set", "train_seconds=0.5", "--set", "startup_seconds=0.5", "--set", "scoring.rows=128"]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Run it in a folder that is not the repository."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments, module=("-m", "target.evaluate")):
        return subprocess.run(
            [sys.executable, *module, *map(str, arguments)], cwd=folder, text=True, capture_output=True, timeout=300,
            env={"PYTHONPATH": str(ROOT)} | os.environ,
        )  # fmt: skip

    return run


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "candidate.py"
    path.write_text(HONEST)
    return path


def test_json_has_the_whole_verdict_and_nothing_else(command, program, tmp_path):
    done = command(program, "--seed", 3, "--json", "--log", tmp_path / "kept.log", *QUICK)

    verdict = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert verdict["outcome"] == "ok"
    assert verdict["seed"] == 3
    assert 1 < verdict["val_bpb"] < 12
    assert verdict["seconds"] > 0
    assert verdict["memory"] > 0
    assert verdict["detail"] == ""
    assert verdict["probes"]["d1_causality_nats"] == 0
    assert "rlimits" in verdict["isolation"]
    assert len(verdict["program_id"]) == 16
    assert (tmp_path / "kept.log").exists()


def test_people_get_a_table_and_see_what_the_program_prints(command, program):
    program.write_text(HONEST.replace("prepare.setup()", "prepare.setup()\n    print('hello from training')"))

    done = command(program, *QUICK)

    assert done.returncode == 0, done.stderr
    assert "hello from training" in done.stderr
    assert done.stdout.startswith("outcome      ok\nval_bpb      ")


def test_a_program_that_does_not_score_exits_with_one_and_says_why(command, program):
    program.write_text(LEAK)

    done = command(program, "--json", *QUICK)

    verdict = json.loads(done.stdout)
    assert done.returncode == 1
    assert (verdict["outcome"], verdict["val_bpb"], verdict["trained"]) == ("rejected", None, False)
    assert "causality" in verdict["detail"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "cannot read the program nowhere.py"),
        ([SEED_PROGRAM, "--target", "huge"], "--target must be one of .*tiny.*, got 'huge'"),
        ([SEED_PROGRAM, "--set", "scoring.rows=7"], "scoring.rows must be a multiple"),
        ([SEED_PROGRAM, "--set", "trian_seconds=7"], "trian_seconds"),
        ([SEED_PROGRAM, "--set", "constants.WIDTHH=7"], "not a constant of the program: WIDTHH"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_exit_status_two(command, arguments, said):
    done = command(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(said, done.stderr)


def test_wrong_usage_exits_with_two(command):
    assert command("--seed", "x", "file.py").returncode == 2


def test_a_copy_of_the_seed_program_is_told_which_constants_are_not_applied(command, program):
    endless = HONEST.replace("prepare.setup()", "prepare.setup()\n    while True:\n        pass")
    program.write_text(f"DEPTH = 9\nN_HEADS = 1\nHEAD_DIM = 32\n{endless}")

    done = command(program, "--set", "startup_seconds=0.4", "--set", "train_seconds=0.5")

    hint = re.escape(
        f"`{sys.executable} -m target.seed --target tiny` prints the seed program with those of the target"
    )
    differing = r"DEPTH=9 \(target tiny: 3\)"
    assert re.search(rf"candidate\.py keeps its own constants: {differing}, N_HEADS=1 \(.*; {hint}", done.stderr)
    assert "HEAD_DIM" not in done.stderr
    assert "outcome      timed_out" in done.stdout
    assert re.search(rf"it reported no step: {differing} may be too large; {hint}", done.stdout)


def test_the_program_of_a_target_can_be_printed_and_has_its_constants(command, program):
    done = command("--target", "tiny", "--set", "constants.DEPTH=5", module=("-m", "target.seed"))

    assert done.returncode == 0, done.stderr
    program.write_text(done.stdout)
    spec = load_target("tiny", ["constants.DEPTH=5"])
    assert spec.read_program(program) == spec.seed_program()
    assert spec.constants_text(program, spec.seed_program()) == ""
    assert "DEPTH=5, N_HEADS=2" in spec.constants_text(SEED_PROGRAM, spec.seed_program())
    refused = command("--target", "landscape", module=("-m", "target.seed"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "error: the target must be one" in refused.stderr


def test_a_script_on_its_own_is_evaluated_in_the_same_way(command, program, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "target"))  # where the seed program finds prepare.py

    done = command(module=(str(program),))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("outcome      ok\nval_bpb      ")


def test_overrides_reach_the_target():
    spec = load_target("tiny", ["scoring.cuts=7", "constants.DEPTH=5", "train_seconds=1"])

    assert (spec.scoring.cuts, spec.constants["DEPTH"], spec.train_seconds) == (7, 5, 1)


def test_it_trains_on_the_first_of_the_cards_and_says_so(monkeypatch, tmp_path, capsys):
    pretend(monkeypatch, tmp_path, TWO_H100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")

    assert main([str(tmp_path / "nowhere.py"), "--target", "gpu"]) == 2
    said = capsys.readouterr().err
    assert f"device: 2 x {H100}, 85 GB each, one training at a time on the first\n" in said
    assert "cannot read the program" in said
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1", "what this process computes must be on that card too"
