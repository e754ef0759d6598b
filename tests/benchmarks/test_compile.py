"""The benchmark of compilation, without compiling: that takes torch a minute, and what may break here is the rest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compile import main

COMPILE = Path(__file__).parents[2] / "benchmarks" / "compile.py"


def test_every_way_to_compile_train_py_takes_its_steps(tmp_path: Path) -> None:
    file = tmp_path / "compile.json"
    smallest = ["--repeats", "1", "--steps", "1", "--arms", "regional|whole and Muon"]
    done = subprocess.run(
        [sys.executable, str(COMPILE), *smallest, "--json", str(file)],
        env={**os.environ, "TORCHDYNAMO_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    runs = json.loads(file.read_text())["runs"]
    assert list(runs) == ["whole and Muon", "regional"]
    (whole,), (regional,) = runs.values()
    assert whole["loss"] == regional["loss"], "uncompiled, they are the same computation"
    assert 0 < whole["loss"] < 10
    _, _, _, *rows = done.stdout.splitlines()
    assert [row[:16].strip() for row in rows] == list(runs)
    for row, result in zip(rows, (whole, regional), strict=True):
        wall, cpu, speed, graphs, loss = row[16:].split()
        assert (wall, cpu) == (f"{result['first_wall_seconds']:.1f}", f"{result['first_cpu_seconds']:.1f}")
        assert (speed, graphs, loss) == (f"{result['steps_per_second']:.2f}", "0", f"{result['loss']:.5f}")


def test_arms_that_there_are_not_are_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["compile.py", "--arms", "partial"])

    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--arms must match one of eager, whole and Muon, whole, regional; got partial" in capsys.readouterr().err
