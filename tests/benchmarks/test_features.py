"""The benchmark of the parts of train.py, with trainings of one step."""

import json
import re
import subprocess
import sys
from pathlib import Path

FEATURES = Path(__file__).parents[2] / "benchmarks" / "features.py"
COMMAND = [sys.executable, str(FEATURES), "--size", "tiny", "--seeds", "2"]


def run(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "--json", str(file), *more], capture_output=True, text=True, check=False)


def test_a_run_that_was_cut_short_goes_on_and_repeats_no_training(tmp_path: Path) -> None:
    file = tmp_path / "parts.json"
    first = run(file, "--steps", "1", "--arms", "back-out", "--minutes", "0")
    assert re.findall(r"^\d/\d .*", first.stderr, re.MULTILINE)[0].startswith("1/4  whole, seed 0: ")

    second = run(file, "--steps", "1", "--arms", "back-out")

    assert [line.split(":")[0] for line in second.stderr.splitlines()] == [
        "1/3  with back-out, seed 0",
        "2/3  whole, seed 1",
        "3/3  with back-out, seed 1",
    ]
    found = json.loads(file.read_text())
    assert [(each["arm"], each["seed"]) for each in found["trainings"]] == [
        ("whole", 0),
        ("with back-out", 0),
        ("whole", 1),
        ("with back-out", 1),
    ]
    by_arm = {row["name"]: row for row in found["rows"]}
    changes = [b - a for a, b in zip(by_arm["whole"]["scores"], by_arm["with back-out"]["scores"], strict=True)]
    assert by_arm["with back-out"]["difference"] == sum(changes) / 2
    assert f"{sum(changes) / 2:+10.4f}" in second.stdout

    other = run(file, "--steps", "2", "--arms", "back-out")
    assert other.returncode == 1
    assert "name another file" in other.stderr
