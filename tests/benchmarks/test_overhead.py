"""The benchmark of what the framework costs, with the shortest search that it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.overhead import main

OVERHEAD = Path(__file__).parents[2] / "benchmarks" / "overhead.py"


def test_a_search_is_measured_and_resumed(tmp_path: Path) -> None:
    file, folder = tmp_path / "overhead.json", tmp_path / "searches"
    folder.mkdir()
    arguments = ["--trials", "200", "--folder", str(folder), "--json", str(file)]
    done = subprocess.run([sys.executable, str(OVERHEAD), *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    name, figures = row.pop("name"), row
    assert name == "greedy/constants 200"
    assert 150 < figures["trials"] <= 206, "206 trainings, and a good candidate is trained again"
    assert all(figure > 0 for figure in figures.values()), figures
    head, line = done.stdout.splitlines()
    assert head.split() == ["search", *figures]
    assert line.startswith(name)
    assert line.split()[2:] == [str(figures.pop("trials")), *(f"{figure:,.1f}" for figure in figures.values())]
    assert list(folder.iterdir()) == [], "the searches are removed"


def test_too_few_trials_for_a_first_and_a_last_hundred_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["overhead.py", "--trials", "199"])

    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--trials must be at least 200, got 199" in capsys.readouterr().err
