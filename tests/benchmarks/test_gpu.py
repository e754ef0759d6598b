"""`benchmarks/gpu.py`: nothing that one stage does may cost the others, and it runs where Graft is not installed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.gpu
from benchmarks.gpu import STAGES, run_all
from benchmarks.gpu_anchor import anchor, assign, shorten
from benchmarks.gpu_anchor_child import score, token_ids, windows_of
from benchmarks.gpu_plan import ESSENTIAL, Plan, make_plan, with_measured_startup
from benchmarks.gpu_runner import FAILED, LEFT_OUT, Found, Results, result_file, run_stage
from benchmarks.gpu_stages import Rig, read_marks, training_share, with_marks
from target.evaluate import load_target
from target.evaluation import Evaluation, Outcome
from target.program import Program
from tests.benchmarks.stand_in import write_checkout

ROOT = Path(__file__).parents[2]
FAST = ("scoring.rows=64", "scoring.batch_rows=32", "scoring.cuts=8", "stall_factor=100")
NAMES = ("setup", *STAGES)


def gpu(root: Path, folder: Path, *arguments: str) -> list[str]:
    settings = [part for setting in FAST for part in ("--set", setting)]
    where = ["--device", "cpu", "--json", str(folder / "found.json"), "--budget-seconds", "1"]
    return [sys.executable, str(root / "benchmarks" / "gpu.py"), *where, *settings, *arguments]


def found_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def plan_of(minutes: float, *, startup_seconds: float, names: Sequence[str] = NAMES) -> Plan:
    return make_plan(load_target("gpu", [f"startup_seconds={startup_seconds}"]), names, seconds=60 * minutes)


# The plan


def test_short_trainings_are_as_long_as_the_essential_stages_leave_room_for() -> None:
    tight, ample = plan_of(10, startup_seconds=15), plan_of(60, startup_seconds=15)

    assert sum(tight.estimates[name] for name in ESSENTIAL) <= 10 * 60
    assert 10 <= tight.short.train_seconds < ample.short.train_seconds == 30
    assert ample.full.train_seconds == 300
    assert list(tight.estimates) == list(NAMES)


def test_a_stage_that_cannot_go_on_from_the_check_needs_a_training_of_its_own() -> None:
    plan = plan_of(9, startup_seconds=15)

    for name in ("anchor", "startup"):
        alone = plan.needed_seconds(name, checked_seconds=None)
        assert alone >= plan.needed_seconds(name, checked_seconds=10) + 15
    assert plan.needed_seconds("anchor", checked_seconds=70) == plan.needed_seconds("anchor", checked_seconds=10) + 60
    assert plan.needed_seconds("search", checked_seconds=70) == plan.needed_seconds("search", checked_seconds=None)


def test_the_allowance_for_start_up_becomes_what_was_measured_and_never_more() -> None:
    wall, cpu = load_target("gpu", ["startup_seconds=75"]), load_target("tiny")

    assert with_measured_startup(wall, 20).startup_seconds == 29
    assert with_measured_startup(wall, 500).startup_seconds == 75
    assert with_measured_startup(cpu, 0.1) == cpu  # a clock of CPU seconds waits for nothing


@pytest.mark.parametrize(("found", "status"), [({"x": 1}, 0), ({FAILED: "no luck"}, 1)])
def test_the_exit_status_says_whether_a_stage_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found, status: int
) -> None:
    monkeypatch.setattr(benchmarks.gpu, "_run", lambda *_: found)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # SIGTERM stays as pytest has it

    assert benchmarks.gpu.main(gpu(ROOT, tmp_path, "--stages", "doctor")[2:]) == status


def test_what_there_is_no_time_for_is_left_out_and_said(tmp_path: Path) -> None:
    done = subprocess.run(gpu(ROOT, tmp_path, "--minutes", "0.05"), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    found = found_in(tmp_path)
    assert list(found) == ["setup", *(name for name in STAGES if name != "anchor")]
    assert all("are left" in each[LEFT_OUT] for each in found.values())
    assert "beyond the limit" in done.stdout


# The runner


def shell(script: str) -> list[str]:
    return ["sh", "-c", script, "sh"]  # the result file is $1


def test_a_stage_that_hangs_is_killed_with_all_it_started_and_the_next_one_runs(tmp_path: Path) -> None:
    hangs = f"setsid sleep 1000 & echo $! > {tmp_path}/pid; echo began; echo '{{\"part\": 1}}' > $1; setsid sleep 1000"
    results = Results(tmp_path / "found.json")
    results.add("first", run_stage("first", shell(hangs), timeout_seconds=2, logs=tmp_path / "logs"))
    results.add("next", run_stage("next", shell("echo '{\"x\": 1}' > $1"), timeout_seconds=60, logs=tmp_path / "logs"))

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    found = found_in(tmp_path)
    assert found["first"][FAILED] == "killed after 2 s, its timeout; it said last: began"
    assert found["first"]["part"] == 1, "what it had found so far"
    assert found["next"]["x"] == 1
    assert results.failed == ["first"]
    assert results.successful == ["next"]
    assert "failed: killed after 2 s" in results.table({"first": 1})


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo out of luck >&2; exit 3", "exit status 3; it said last: out of luck"),
        ("kill -9 $$", "exit status -9"),
        ("true", "it left no result that can be read"),
        ("echo garbage | tee $1", "it left no result that can be read"),
        ("echo '[1]' > $1", "its result must be a JSON object, got list"),
    ],
)
def test_a_stage_that_crashes_or_writes_garbage_has_failed_and_its_log_is_kept(
    tmp_path: Path, script: str, why: str
) -> None:
    found = run_stage("stage", shell(script), timeout_seconds=60, logs=tmp_path)

    assert found[FAILED].startswith(why)
    assert Path(found["log"]).exists()


def test_a_stage_does_not_take_the_result_of_an_earlier_call_for_its_own(tmp_path: Path) -> None:
    run_stage("stage", shell("echo '{}' > $1"), timeout_seconds=60, logs=tmp_path)

    assert FAILED in run_stage("stage", shell("true"), timeout_seconds=60, logs=tmp_path)


def test_what_earlier_calls_found_stays_in_the_file(tmp_path: Path) -> None:
    Results(tmp_path / "found.json").add("check", {"x": 1})
    Results(tmp_path / "found.json").add("search", {"y": 2})

    assert found_in(tmp_path) == {"check": {"x": 1}, "search": {"y": 2}}


def test_an_interrupt_keeps_what_there_is_and_leaves_nothing_running(tmp_path: Path) -> None:
    command = gpu(ROOT, tmp_path, "--stages", "noise", "--minutes", "60", "--budget-seconds", "600")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    while "== setup" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate()

    assert process.returncode == 130
    assert "interrupted" in rest
    assert found_in(tmp_path)["setup"]["target"] == "tiny"
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _bytes(path)]
    assert not left


def test_a_stage_of_parts_begins_with_half_its_time_and_an_interrupt_keeps_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = make_plan(load_target("tiny"), ["features"], seconds=60, short_seconds=3).estimates["features"]
    where = ["--device", "cpu", "--budget-seconds", "3", "--json", str(tmp_path / "found.json")]
    begun = []

    def run(name: str, *_: Any) -> NoReturn:
        begun.append(name)
        (tmp_path / "found-logs").mkdir()
        result_file(name, tmp_path / "found-logs").write_text('{"as it is": "val_bpb 2.5"}')
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmarks.gpu, "_run", run)
    for minutes in (0.4 * needed / 60, 0.6 * needed / 60):
        options = benchmarks.gpu._parser().parse_args([*where, "--minutes", str(minutes)])
        with contextlib.suppress(KeyboardInterrupt):
            run_all(["features"], options, Results(tmp_path / "found.json"), {})

    assert begun == ["features"]
    assert found_in(tmp_path) == {"features": {FAILED: "interrupted", "as it is": "val_bpb 2.5"}}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# Where it is not installed

SITE = """
import importlib.metadata, sys
from pathlib import Path

ABSENT = {"mlflow", "litellm", "matplotlib", "hypothesis", "pandas", "graft-search", "graft_search"}

class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

original = importlib.metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name in ABSENT:
        raise importlib.metadata.PackageNotFoundError(name)
    return original(cls, name)

importlib.metadata.Distribution.from_name = classmethod(from_name)
sys.meta_path.insert(0, Refuse)
sys.path[:] = [p for p in sys.path if p == "COPY" or not (Path(p) / "target" / "train.py").exists()]
"""


def test_it_runs_from_a_checkout_that_is_not_installed_without_mlflow_litellm_and_matplotlib(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("benchmarks", "conf", "operators", "search", "target"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "program.md", copy)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE.replace("COPY", str(copy)))
    done = subprocess.run(
        gpu(copy, tmp_path, "--stages", "search", "--minutes", "60", "--startup-seconds", "0.4"),
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = found_in(tmp_path)["search"]
    assert (found["status"], found["trainings"]) == ("finished", 4)
    assert 0 < found["share of the wall time of a trial that was training"] < 1
    assert (
        f"{copy}/"
        in subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.path.insert(0, sys.argv[1]); import target; print(target.__file__)",
                copy,
            ],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        ).stdout
    )


# The anchor


def test_the_anchor_trains_on_our_text_and_is_scored_on_our_rows(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "checkout")
    before = {path.name: path.read_bytes() for path in checkout.iterdir()}
    command = gpu(ROOT, tmp_path, "--stages", "check,anchor,startup", "--minutes", "60", "--anchor", str(checkout))
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    found = found_in(tmp_path)
    check, anchor, startup = found["check"], found["anchor"], found["startup"]
    assert check["equal"]
    assert check["logits"] == "mapped memory"
    assert "no-new-privileges" in check["isolation"]
    assert anchor["score of the anchor"] == "weights scored on our validation rows"
    assert anchor["val_bpb of ours"] == check["trusted val_bpb"]
    assert anchor["ratio, ours / anchor"] == anchor["val_bpb of ours"] / anchor["val_bpb of the anchor"]
    assert 2 < anchor["val_bpb of the anchor"] < math.log2(257)  # it has learned something
    assert anchor["bytes scored of the anchor"] == pytest.approx(anchor["bytes scored of ours"], abs=3 * 2 * 64)
    assert anchor["steps of the anchor"] > 0
    assert "whole rows" in anchor["attention of the anchor"]
    assert {path.name: path.read_bytes() for path in checkout.iterdir()} == before
    marks = check["marks"]
    assert 0 < marks["main"] < marks["built"] < marks["first_step"] == startup["fork to the end of the first step, s"]


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Found]:
    """Run the stage alone, in this process; perhaps behind a `check` that found what it needs of ours."""
    spec = load_target("tiny", FAST)
    check = {"trusted val_bpb": 2.5, "marks": {"first_step": 0.5}, "train, s": 1.5, "steps": 3, "tokens/s": 900.0}

    def compared(checkout: Path, *, checked: bool) -> Found:
        return anchor(
            Rig(
                full=spec,
                short=dataclasses.replace(spec, train_seconds=1),
                whole_seconds=1.0,
                folder=tmp_path,
                logs=tmp_path,
                device="CPU",
                overrides=FAST,
                before={"check": check} if checked else {},
                anchor=checkout,
                result=tmp_path / "result.json",
            )
        )

    return compared


def test_an_anchor_that_leaves_no_weights_is_compared_by_its_own_figure(
    compared: Callable[..., Found], tmp_path: Path
) -> None:
    found = compared(write_checkout(tmp_path / "checkout", leaves_weights=False), checked=False)

    assert found["score of the anchor"].startswith("own figure")
    assert found["val_bpb of the anchor"] == found["its own val_bpb"]
    assert 2 < found["val_bpb of ours"] < 9, "there was no check: we train here"


def test_an_anchor_that_crashes_has_failed_with_its_last_words(compared: Callable[..., Found], tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "checkout")
    (checkout / "train.py").write_text("raise RuntimeError('no luck')\n")

    assert "no luck" in compared(checkout, checked=True)[FAILED]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(2, 20))
def test_each_target_of_a_row_counts_once_and_sees_as_much_as_the_context_holds(
    tokens: list[int], context: int
) -> None:
    counted = []
    for inputs, targets, counts in windows_of(tokens, context, bos=99):
        assert len(inputs) == len(targets) == len(counts) == context
        assert 99 not in inputs or len(tokens) <= context  # filled up only where the row has no more
        for place in range(context):
            if counts[place]:
                counted.append(targets[place])
                seen = tokens[: len(counted)][-(place + 1) :]
                assert inputs[: place + 1] == seen
    assert counted == tokens[1:]


class Uniform(torch.nn.Module):
    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*idx.shape, 257)


class Copying(torch.nn.Module):
    """Is sure that the next token is the last one."""

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        return 100.0 * torch.nn.functional.one_hot(idx, 257)


class Bytes:
    def get_bos_token_id(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


def request(rows: list[list[str]]) -> dict[str, Any]:
    return {"device": "cpu", "batch_rows": 4, "rows": rows}


def test_bits_are_counted_of_text_and_not_of_what_begins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prepare", type(sys)("prepare"))
    monkeypatch.setattr(sys.modules["prepare"], "MAX_SEQ_LEN", 8, raising=False)
    rows = [["a", "bc", "défghijklmnopq"], ["", "r"], ["x" * 20]]

    found = score(Uniform(), Bytes(), request(rows))

    assert found["bytes"] == sum(len(part.encode()) for row in rows for part in row)
    assert found["bits_per_byte"] == pytest.approx(math.log2(257), rel=1e-6)
    same = score(Copying(), Bytes(), request([["x" * 20]]))  # wrong once, behind the bos
    assert same["bits_per_byte"] == pytest.approx(100 / math.log(2) / 20, rel=1e-6)


def test_a_row_begins_each_part_with_a_bos() -> None:
    assert token_ids(["ab", "", "c"], Bytes().encode, 256) == [256, 97, 98, 256, 256, 99]


def test_only_the_seconds_and_the_evaluation_of_the_anchor_are_changed(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "checkout")
    shorten(checkout, 12.34)

    changed = (checkout / "prepare.py").read_text()
    assert "TIME_BUDGET = 12.3  # seconds" in changed
    assert "EVAL_TOKENS = min(40 * 524288, 2097152)" in changed
    assert assign("def f():\n    x = 1\n", "x", "2") == "def f():\n    x = 1\n"
    (checkout / "prepare.py").write_text("")
    with pytest.raises(ValueError, match="must assign TIME_BUDGET"):
        shorten(checkout, 1)


# What the stages say


def test_marks_are_printed_behind_lines_of_main() -> None:
    marked = with_marks(load_target("tiny").seed_program()).source

    compile(marked, "train.py", "exec")
    assert marked.count("mark main") == marked.count("mark built") == marked.count("mark first_step") == 1
    assert read_marks("x\nmark main 0.250\nmark first_step 3.5\n") == {"main": 0.25, "first_step": 3.5}
    with pytest.raises(ValueError, match="must have the lines"):
        with_marks(Program("def main():\n    pass\n"))


def test_the_share_of_training_leaves_out_what_is_before_the_first_and_counts_all_between() -> None:
    one = Evaluation(outcome=Outcome.OK, seed=0, score=1.0, wall_seconds=48.0, score_seconds=8.0)

    found = training_share([(one,), (one, one), (one,)], [60.0, 160.0, 212.0], 300.0)

    assert found["training, s"] == 160
    assert found["first training to last verdict, s"] == 200
    assert found["share of the wall time of a trial that was training"] == 0.8
    assert found["share at full length (300 s)"] == pytest.approx(300 / 310)
