from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import conf
from search.runs.rundir import RunDirectory
from search.status.__main__ import state_of
from target.spec import SEED_PROGRAM
from tests.search.command import QUIET, assert_clean_failure, command, rows_of, run, summary_of, verdicts_of

STRATEGIES = sorted(path.stem for path in (Path(conf.__file__).parent / "strategy").glob("*.yaml"))
SUMMARY_FIELDS = [
    "name",
    "strategy",
    "seed",
    "status",
    "stop_reason",
    "trials",
    "trainings",
    "outcomes",
    "baseline_val_bpb",
    "best_val_bpb",
    "best_trial",
    "best_program_id",
    "gpu_seconds",
    "wall_seconds",
    "cost_usd",
    "busy_fraction",
    "mean_staleness",
    "reapplied",
    "pruned",
    "audited",
    "false_prunes",
    "saved_seconds",
]


def test_a_search_leaves_what_it_promises(tmp_path: Path) -> None:
    assert_leaves_all(tmp_path, "greedy", "executor.workers=null")  # as many as on a user's machine
    root = tmp_path / "outputs" / "g"
    environment = json.loads((root / "environment.json").read_text())
    assert environment["versions"]["torch"]
    assert environment["corpus"]["hash"]
    assert environment["isolation"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_leaves_what_it_promises(tmp_path: Path, strategy: str) -> None:
    assert_leaves_all(tmp_path, strategy, "target=landscape")


def assert_leaves_all(tmp_path: Path, strategy: str, *overrides: str) -> None:
    done = run(tmp_path, "name=g", *overrides, f"strategy={strategy}", "seed=1", "budget.trainings=4", QUIET)

    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "g"
    summary = summary_of(root)
    assert list(summary) == SUMMARY_FIELDS
    assert (summary["name"], summary["strategy"], summary["seed"]) == ("g", strategy, 1)
    assert (summary["status"], summary["trainings"]) == ("finished", 4)
    rows = rows_of(root)
    assert rows[0]["status"] == "baseline"
    assert len(rows) == sum(summary["outcomes"].values())
    for name in ("environment.json", "progress.png", "lineage.html", "report.md", "journal.log", ".hydra/config.yaml"):
        assert (root / name).stat().st_size > 0, name
    for name in ("train.py", "result.json"):
        assert (root / "trials" / "0000" / name).stat().st_size > 0, name
    diffs = (root / "trials").glob("*/diff.patch")  # which trials train within the budget depends on the machine
    assert any(path.stat().st_size > 0 for path in diffs)
    assert "budget.trainings=4 reached" in done.stdout


def test_a_sweep_runs_every_combination_and_resumes(tmp_path: Path) -> None:
    arguments = ("-m", "name=s", "target=landscape", "strategy=greedy,random", "seed=0,1", "budget.trainings=2", QUIET)
    done = run(tmp_path, *arguments)

    assert done.returncode == 0, done.stderr
    summaries = sorted((tmp_path / "outputs" / "sweeps" / "s").rglob("summary.json"))
    found = [json.loads(path.read_text()) for path in summaries]
    assert sorted((each["strategy"], each["seed"]) for each in found) == [
        ("greedy", 0),
        ("greedy", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"], "Hydra leaves no litter"
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 1
    before = [path.parent.joinpath("results.tsv").read_bytes() for path in summaries]
    assert run(tmp_path, *arguments).returncode == 0
    assert [path.parent.joinpath("results.tsv").read_bytes() for path in summaries] == before


def test_a_sweep_into_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "outputs=/proc/nowhere", "seed=0,1", QUIET)

    assert_clean_failure(done, "cannot write to /proc/nowhere/sweeps/")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("strategy=annealed", "greedy"),  # Hydra lists what there is
        ("budget.trails=5", "trails"),
        ("budget.trainings=0", "budget.trainings must be at least 1, got 0"),
        ("budget.trainings=many", "many"),
        ("budget.hours=-1", "budget.hours must be above 0, got -1.0"),
        ("seed=x", "seed"),
        ("propose_ahead=-1", "propose_ahead must be null or at least 0"),
        ("target.train_seconds=0", "target.train_seconds must be positive, got 0"),
        ("target.scoring.rows=65", "scoring.rows must be a multiple of scoring.batch_rows"),
        ("target.constants.LAYERS=3", "LAYERS"),
        ("+target.constants.LAYERS=3", "not a constant of the program: LAYERS"),
        ("target.program=nowhere.py", "cannot read the program nowhere.py"),
        ("executor.workers=0", "workers must be at least 1, got 0"),
        ("outputs=/proc/nowhere", "cannot write to /proc/nowhere"),
    ],
)
def test_bad_input_gets_one_clear_message(tmp_path: Path, override: str, phrase: str) -> None:
    assert_clean_failure(run(tmp_path, override, "name=bad", QUIET), phrase)
    assert not list((tmp_path / "outputs").rglob("journal.log")), "nothing was begun"


@pytest.mark.parametrize(
    ("strategy", "phrase"),
    [
        ("beam strategy.width=0", "strategy: width and branching must be at least 1, got 0"),
        ("beam strategy.wdth=3", "wdth"),
        ("beam +strategy.wdth=3", "strategy"),
        ("evolution strategy.tournament_size=0", "population_size and tournament_size must be at least 1"),
    ],
)
def test_a_strategy_refuses_what_it_cannot_use(tmp_path: Path, strategy: str, phrase: str) -> None:
    assert_clean_failure(run(tmp_path, *f"strategy={strategy}".split(), QUIET), phrase)


HONEST = SEED_PROGRAM.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "phrase"),
    [
        ("x = 1\ndef build_model(:\n", "syntax: train.py:2: invalid syntax: def build_model(:; fix it"),
        (HONEST.replace("def build_model", "def make_model"), "train.py must define build_model(vocab_size)"),
    ],
    ids=["syntax error", "no build_model"],
)
def test_a_seed_program_that_breaks_a_rule_is_refused_before_anything_starts(
    tmp_path: Path, source: str, phrase: str
) -> None:
    write(tmp_path / "mine.py", source)
    done = run(tmp_path, "target.program=mine.py", "name=mine", QUIET)

    assert_clean_failure(done, "the seed program breaks a rule of its target: ", phrase)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("source", "phrases"),
    [
        (HONEST.replace("import torch\n", "import torch\n\nwhile True:\n    pass\n", 1), ("rejected", "import")),
        (HONEST.replace("    prepare.setup()\n", "    raise SystemExit('no luck')\n"), ("crashed", "no luck")),
    ],
    ids=["loop at import", "exit"],
)
def test_a_seed_program_that_does_not_score_stops_the_search_and_says_why(
    tmp_path: Path, source: str, phrases: tuple[str, ...]
) -> None:
    write(tmp_path / "mine.py", source.replace("DEPTH = 8", "DEPTH = 1").replace("HEAD_DIM = 128", "HEAD_DIM = 16"))
    done = run(tmp_path, "target.program=mine.py", "name=mine", "target.preflight_seconds=1", QUIET)

    assert_clean_failure(done, "the seed program does not score", "trials/0000", *phrases)
    summary = summary_of(tmp_path / "outputs" / "mine")
    assert (summary["status"], summary["best_val_bpb"]) == ("stopped", None)
    assert state_of(RunDirectory(tmp_path / "outputs" / "mine")).resume == "", "it would fail again"


def test_a_search_without_isolation_says_so_once_and_in_its_records(tmp_path: Path) -> None:
    done = run(tmp_path, "name=o", "target.sandbox=off", "budget.trainings=1", QUIET)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: target.sandbox=off: candidates can read and change whatever you can") == 1
    environment = json.loads((tmp_path / "outputs" / "o" / "environment.json").read_text())
    assert "rlimits" in environment["isolation"]
    assert "seccomp" not in environment["isolation"]


def test_a_resumed_search_with_another_configuration_is_refused_by_key(tmp_path: Path) -> None:
    search = ("name=g", "target=landscape", QUIET)
    assert run(tmp_path, "budget.trainings=2", *search).returncode == 0
    root = tmp_path / "outputs" / "g"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}
    done = run(tmp_path, "seed=5", "strategy.memory=3", "budget.trainings=3", *search)

    assert_clean_failure(done, "seed was 0, is 5", "strategy.memory was 30, is 3")
    assert {path: path.read_bytes() for path in before} == before
    stored = done.stderr.rpartition("or resume it: ")[2]
    again = subprocess.run(["bash", "-c", stored], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    more = run(tmp_path, "budget.trainings=3", *search)  # a larger budget is the same search
    assert more.returncode == 0, more.stderr
    assert summary_of(root)["trainings"] == 3


def test_a_damaged_ledger_is_refused_by_line_and_a_torn_one_goes_on(tmp_path: Path) -> None:
    search = ("name=g", "target=landscape", QUIET)
    assert run(tmp_path, "budget.trainings=2", *search).returncode == 0
    journal = tmp_path / "outputs" / "g" / "journal.log"
    whole = journal.read_bytes()

    journal.write_bytes(whole.replace(b"{", b"", 1))
    assert_clean_failure(run(tmp_path, "budget.trainings=3", *search), "journal.log:1: not JSON")
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    done = run(tmp_path, "budget.trainings=3", *search)
    assert done.returncode == 0, done.stderr
    assert summary_of(journal.parent)["trainings"] == 3


def test_a_run_directory_belongs_to_one_search_at_a_time(tmp_path: Path) -> None:
    first = subprocess.Popen(command("name=g", "budget.trainings=50", QUIET), cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert first.stdout
        assert first.stdout.readline()  # it holds the lock before it says anything
        assert_clean_failure(run(tmp_path, "name=g", "budget.trainings=50", QUIET), "is in use by process")
    finally:
        first.kill()
        first.communicate()


def test_an_interrupted_search_says_so_and_resumes(tmp_path: Path) -> None:
    """By the one signal at first, and when it was resumed by the other. Without a name it has that of its start."""
    search, rows = command("budget.trainings=3", QUIET), list[tuple[str, str, str]]()
    for number in (signal.SIGINT, signal.SIGTERM):
        said = interrupted(search, tmp_path, number)
        (journal,) = (tmp_path / "outputs").rglob("journal.log")
        summary = summary_of(journal.parent)
        assert (summary["status"], summary["stop_reason"]) == ("stopped", f"interrupted by {number.name}")
        assert verdicts_of(journal.parent)[: len(rows)] == rows
        rows = verdicts_of(journal.parent)
        assert rows
        (resume,) = re.findall(r"^resume: (.*)$", said, re.MULTILINE)
        assert f"name={journal.parent.name}" in resume
        search = ["bash", "-c", f"exec {resume}"]

    done = subprocess.run(search, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert summary_of(journal.parent)["trainings"] == 3
    assert verdicts_of(journal.parent)[: len(rows)] == rows


def interrupted(search: list[str], cwd: Path, number: signal.Signals) -> str:
    """Start a search, send it a signal once a trial has its verdict, and return what it says at its end."""
    process = subprocess.Popen(search, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert any(re.search(rb"baseline|already have a verdict", line) for line in process.stdout)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    return said.decode()


FAKE_PACKAGES = """
import importlib.metadata as metadata
original = metadata.version
def version(name):
    if name == "sympy":
        {action}
    return original(name)
metadata.version = version
"""


@pytest.mark.parametrize(
    ("action", "phrase"),
    [("return '1.13.0'", "1.13.0"), ("raise metadata.PackageNotFoundError(name)", "sympy==1.14.0")],
    ids=["another version", "missing"],
)
def test_a_corpus_that_is_not_the_pinned_one_is_refused(tmp_path: Path, action: str, phrase: str) -> None:
    write(tmp_path / "sitecustomize.py", FAKE_PACKAGES.format(action=action))
    done = run(tmp_path, "name=g", QUIET, env={"PYTHONPATH": str(tmp_path), "GRAFT_CACHE": str(tmp_path / "cache")})

    assert_clean_failure(done, "sympy==1.14.0", phrase)


def test_it_works_from_any_directory_as_root_of_none_of_our_files(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "search", "--cfg", "job"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "search.strategies.hybrid.Hybrid" in shown.stdout
    assert list(tmp_path.iterdir()) == []
