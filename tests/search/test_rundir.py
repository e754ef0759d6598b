from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Status
from search.errors import UserError
from search.lock import locked
from search.rundir import COLUMNS, RunDirectory, diff, write_atomically
from target.program import Program
from tests.search.builders import make_population, make_trial


def test_rows_are_final_and_a_torn_one_is_written_again(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    population = make_population(2.0, 1.9, Status.CRASHED, 1.95)
    run.append_results(Population(population.trials[:2]))
    head = run.results.read_text()
    run.append_results(population)
    whole = run.results.read_text()
    run.results.write_text(whole[:-10])
    run.append_results(population)

    assert whole.startswith(head)
    assert run.results.read_text() == whole
    rows = [line.split("\t") for line in whole.splitlines()]
    assert tuple(rows[0]) == COLUMNS
    assert [row[:3] for row in rows[1:]] == [
        ["0", "baseline", "2.000000"],
        ["1", "keep", "1.900000"],
        ["2", "crashed", ""],
        ["3", "discard", "1.950000"],
    ]


def test_a_description_cannot_break_the_table(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    trial = make_trial(0, 2.0, status=Status.BASELINE, decided=0, description="a\tb\nc\r\x0bd\u2028e")
    run.append_results(Population((trial,)))

    assert len(run.results.read_text().splitlines()) == 2
    assert all(len(line.split("\t")) == len(COLUMNS) for line in run.results.read_text().splitlines())


def test_a_trial_folder_has_program_diff_and_result(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    population = make_population(2.0, 1.9)
    child = population.trials[1]
    run.write_trial(child, population)

    folder = tmp_path / "trials" / "0001"
    assert (folder / "train.py").read_text() == child.program.source
    assert "+MATRIX_LR = 0.021" in (folder / "diff.patch").read_text()
    assert json.loads((folder / "result.json").read_text())["val_bpb"] == 1.9


def test_the_diff_applies_even_without_a_final_newline(tmp_path: Path) -> None:
    old, new = Program("A = 1\nB = 2"), Program("A = 1\nB = 3")
    (tmp_path / "train.py").write_text(old.source)
    subprocess.run(["git", "apply"], input=diff(old, new), text=True, cwd=tmp_path, check=True)

    assert (tmp_path / "train.py").read_text() == new.source


def test_a_failed_write_leaves_the_old_text_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")

    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="cannot write to"):
        RunDirectory(tmp_path / "file" / "run").create()


def test_a_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    in_use = pytest.raises(UserError, match=f"in use by process {os.getpid()} on")
    with locked(tmp_path / ".lock"), in_use, locked(tmp_path / ".lock"):
        pass
    with locked(tmp_path / ".lock"):
        pass
