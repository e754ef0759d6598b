"""The benchmark of the parts of train.py, with trainings of one step, each in a process of its own."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.features import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command on one file, and return what it prints and what it says beside."""
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # it sets this for its trainings

    def run(*more: str) -> tuple[str, str]:
        size = ["--size", "tiny", "--seeds", "2", "--arms", "back-out"]
        monkeypatch.setattr(sys, "argv", ["features.py", *size, "--json", str(tmp_path / "parts.json"), *more])
        main()
        return capsys.readouterr()

    return run


def test_a_run_that_was_cut_short_goes_on_and_repeats_no_training(run, tmp_path: Path, monkeypatch) -> None:
    _, said = run("--steps", "1", "--minutes", "0")
    assert re.findall(r"^\d/\d .*", said, re.MULTILINE)[0].startswith("1/4  whole, seed 0: ")

    printed, said = run("--steps", "1")

    assert [line.split(":")[0] for line in said.splitlines()] == [
        "1/3  with back-out, seed 0",
        "2/3  whole, seed 1",
        "3/3  with back-out, seed 1",
    ]
    found = json.loads((tmp_path / "parts.json").read_text())
    assert [(each["arm"], each["seed"]) for each in found["trainings"]] == [
        ("whole", 0),
        ("with back-out", 0),
        ("whole", 1),
        ("with back-out", 1),
    ]
    by_arm = {row["name"]: row for row in found["rows"]}
    changes = [b - a for a, b in zip(by_arm["whole"]["scores"], by_arm["with back-out"]["scores"], strict=True)]
    assert by_arm["with back-out"]["difference"] == sum(changes) / 2
    assert f"{sum(changes) / 2:+10.4f}" in printed

    with pytest.raises(SystemExit, match="name another file"):
        run("--steps", "2")

    text = tmp_path / "text"
    text.mkdir()
    for number in range(300):
        (text / f"{number}.txt").write_text("".join(f"{n} squared is {n * n}.\n" for n in range(number, number + 50)))
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit, match="name another file"):
        run("--steps", "1", "--text", str(text))
