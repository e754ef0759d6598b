"""`python -m search.status`: what is in outputs, what runs, and how to resume what stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from search.runs.lock import locked
from search.runs.rundir import RunDirectory
from search.status.__main__ import main, state_of
from tests.search.command import QUIET, run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("status")
    assert run(folder, "-m", "name=s", "target=landscape", QUIET, "budget.trainings=2", "seed=0,1").returncode == 0
    return folder / "outputs"


def rewrite(root: Path, **changes: object) -> None:
    summary = json.loads((root / "summary.json").read_text())
    (root / "summary.json").write_text(json.dumps({**summary, **changes}))


def test_searches_are_listed_with_their_state_and_those_that_stopped_with_a_command(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (outputs / "sweeps" / "s" / f"seed={seed}" for seed in (0, 1))
    monkeypatch.chdir(outputs.parent)
    assert main([]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["search", "state", "trials", "trained", "baseline", "best"]
    assert [row.split()[:2] for row in rows] == [[f"outputs/sweeps/s/seed={seed}", "finished"] for seed in (0, 1)]

    rewrite(first, status="stopped", stop_reason="interrupted by SIGINT")
    rewrite(second, status="running", stop_reason="")
    assert main(["outputs"]) == 0
    said = capsys.readouterr().out
    assert "interrupted by SIGINT" in said
    assert state_of(RunDirectory(second)).state == "killed"
    resume = next(line for line in said.splitlines() if line.startswith("resume: "))
    done = subprocess.run(["bash", "-c", resume.removeprefix("resume: ")], cwd=outputs.parent, check=False)
    assert done.returncode == 0
    assert state_of(RunDirectory(first)).state == "finished"

    with locked(second / ".lock"):
        assert main(["outputs", "--json"]) == 0
    states = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in states] == ["finished", "running"]
    assert states[1]["detail"].startswith("process ")
    assert states[1]["resume"] == ""


def test_a_search_that_has_not_written_its_summary_has_not_begun(tmp_path: Path) -> None:
    (tmp_path / "journal.log").touch()

    assert state_of(RunDirectory(tmp_path)).state == "not begun"


def test_the_columns_of_large_scores_are_aligned(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(outputs / "sweeps" / "s", tmp_path / "s")
    rewrite(copy / "seed=0", baseline_val_bpb=57481.3, best_val_bpb=19285.9)

    assert main([str(copy)]) == 0
    header, *rows = [each for each in capsys.readouterr().out.splitlines() if not each.startswith("resume: ")]
    ends = header.index("best") + len("best")
    best = state_of(RunDirectory(copy / "seed=1")).best
    assert [row[:ends].split()[-1] for row in rows] == ["19285.9000", f"{best:.4f}"]
    assert all(row[ends : ends + 2] == "  " for row in rows)


def test_an_empty_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path} holds no search yet: `")


def test_before_the_first_search_it_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([]) == 0
    text = capsys.readouterr().out
    assert text.startswith("outputs holds no search yet: `")
    assert "started just now is listed after some seconds" in text
