"""The benchmark of rows that begin at a document, with trainings of one step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rows import main

ROWS = Path(__file__).parents[2] / "benchmarks" / "rows.py"
SCORED = ("windows, other packages", "documents, other packages", "windows, same packages", "documents, same packages")


def test_each_kind_of_training_row_is_scored_on_all_kinds_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    smallest = ["--size", "tiny", "--steps", "1", "--seeds", "1", "--scored-tokens", "4096"]
    done = subprocess.run(
        [sys.executable, str(ROWS), *smallest, "--json", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["conditions"]["steps"] == 1
    windows, documents = found["trainings"]
    assert (windows["trained on"], documents["trained on"]) == ("windows", "documents")
    assert tuple(windows["val_bpb"]) == tuple(documents["val_bpb"]) == SCORED
    assert windows["val_bpb"] != documents["val_bpb"]
    head, _, *rows = done.stdout.splitlines()[-6:]  # before them, the programs say how they trained
    assert head == "cpu, tiny, 1 steps, text packages, 1 seeds"
    for row, scored in zip(rows, SCORED, strict=True):
        on_windows, on_documents = windows["val_bpb"][scored], documents["val_bpb"][scored]
        assert 3 < on_windows < 9, "bits per byte after one step"
        assert row.split(f" {scored} ")[0].strip() == "the seed program"
        figures = row.split(f" {scored} ")[1].split()
        assert figures[:2] == [f"{on_windows:.4f}", f"{on_documents:.4f}"]
        assert figures[2:] == [f"{on_documents - on_windows:+.4f}", "nan"], "one seed has no standard error"


def test_fewer_scored_tokens_than_a_row_has_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rows.py", "--size", "tiny", "--scored-tokens", "63"])

    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--scored-tokens must be at least 64, a row; got 63" in capsys.readouterr().err
