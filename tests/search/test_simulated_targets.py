"""`python -m search` on targets that compute what a training would yield."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from search.resuming import MAY_CHANGE
from target.simulated.recorded import read_recordings
from tests.search.command import QUIET, assert_clean_failure, rows_of, summary_of
from tests.target.test_surrogate import write_record


def search(cwd: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "search", *overrides, QUIET],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_landscape_is_searched_by_operators_that_change_code_and_by_the_tuner(tmp_path: Path) -> None:
    first = ("name=a", "target=landscape", "operator=mix", "strategy=hybrid")
    done = search(tmp_path, *first, "budget.trainings=30")

    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "a"
    rows = rows_of(root)
    assert {row["operator"] for row in rows} == {"seed", "mix/constants", "mix/switch", "mix/tune", "tune"}
    assert "without llm.model it leaves out crossover, patch, repair, rewrite" in done.stdout
    assert summary_of(root)["best_val_bpb"] < summary_of(root)["baseline_val_bpb"]
    assert "computed by a model" in done.stdout
    environment = json.loads((root / "environment.json").read_text())
    assert environment["device"]["kind"] == "simulated"
    assert environment["landscape"] == {"name": "landscape", "seed": 0}

    again = search(tmp_path, *first, "budget.trainings=33")
    assert again.returncode == 0, again.stderr
    kept = len(rows) - 2  # their scores are corrected by later trainings
    fixed = ("number", "status", "parents", "operator", "description")
    before, after = ([[row[name] for name in fixed] for row in each[:kept]] for each in (rows, rows_of(root)))
    assert after == before
    assert "budget" in MAY_CHANGE
    assert_clean_failure(search(tmp_path, *first, "target.seed=1"), "target.seed was 0, is 1")


def test_an_external_record_or_our_own_searches_are_a_target(tmp_path: Path) -> None:
    record = tmp_path / "trials.csv"
    write_record(record)
    done = search(
        tmp_path, "name=b", "target=surrogate", f"target.trials={record}", "target.model=forest", "budget.trainings=40"
    )
    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "b"
    assert summary_of(root)["best_val_bpb"] < summary_of(root)["baseline_val_bpb"]

    ours = read_recordings(tmp_path / "outputs")
    assert len(ours.rows) == 40
    assert ours.program.source == (root / "trials" / "0000" / "train.py").read_text()


def test_a_surrogate_without_trials_says_what_it_needs(tmp_path: Path) -> None:
    assert_clean_failure(search(tmp_path, "target=surrogate"), "target.trials must name recorded trainings")
    assert_clean_failure(search(tmp_path, "target=surrogate", "target.trials=nowhere.csv"), "there is no nowhere.csv")
    assert_clean_failure(search(tmp_path, "target=landscape", "target.slots=0"), "target.slots must be at least 1")
