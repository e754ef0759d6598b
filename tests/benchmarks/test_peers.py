"""The comparison with other tools: what the scripted model reads and answers, and one run with our own arms."""

import json
import random
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import Task, change, shown
from target.program import Program
from target.simulated.landscape import SOURCE

ROOT = Path(__file__).parents[2]
OTHER = SOURCE.replace("DEPTH = 8", "DEPTH = 12")


def test_the_model_improves_the_program_that_it_is_asked_to_improve() -> None:
    last = (
        f"# Program Evolution History\n```python\n{OTHER}```\n\n# Current Program\n```python\n{SOURCE}\n```\n\n# Task\n"
    )

    assert shown(last).strip() == SOURCE.strip()
    assert shown(f"# train.py\n\n```python\n{SOURCE}```\n\n# Earlier\n\n```python\n{OTHER}```\n") == SOURCE


def test_each_answer_changes_one_thing_and_leaves_a_program() -> None:
    made = [SOURCE.replace(*change(SOURCE, random.Random(seed)), 1) for seed in range(60)]
    values = [Program(each).constants for each in made]
    structure = [each for each, constants in zip(made, values, strict=True) if constants == Program(SOURCE).constants]

    assert all(each.count("\n") == SOURCE.count("\n") for each in made)
    assert SOURCE not in made
    assert 5 < len(structure) < 35  # three of ten
    assert len(set(made)) > 40


def test_where_nothing_is_to_be_found_no_program_is_better() -> None:
    deeper = Program(SOURCE.replace("DEPTH = 8", "DEPTH = 9"))

    assert Task(0, flat=True, noise_sd=3e-4).true_gain(deeper.source) == 0
    assert Task(0, flat=False, noise_sd=3e-4).true_gain(deeper.source) != 0


def test_our_arms_keep_their_budget_and_are_judged_by_the_truth(tmp_path: Path) -> None:
    table = tmp_path / "peers.json"
    command = [sys.executable, "benchmarks/peers.py", "--seeds", "1", "--trainings", "18", "--json", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(table.read_text())["rows"]

    assert len(rows) == 8
    assert [row for row in rows if not 8 <= row["trainings"] <= 18] == []
    assert {row["true"] for row in rows if row["task"] == "nothing to find"} == {0}
    assert all(row["true"] > 0 for row in rows if row["task"] == "landscape" and row["holds"])
    assert "nothing to find" in done.stdout


def test_the_luck_of_the_first_training_is_not_the_same_in_all_searches() -> None:
    scores = {Task(seed, flat=True, noise_sd=3e-4).train(Program(SOURCE)) for seed in range(5)}

    assert len(scores) == 5
