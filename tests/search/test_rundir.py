from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest

from search.errors import UserError
from search.runs.files import write_atomically
from search.runs.lock import locked
from search.runs.rundir import RunDirectory, diff
from target.program import Program
from tests.search.builders import make_population, make_summary


def test_the_diff_of_a_trial_is_against_its_parent(tmp_path: Path) -> None:
    population = make_population(2.0, 1.9, 1.8)
    RunDirectory(tmp_path).write_trial(population.trials[2], population)

    assert "-MATRIX_LR = 0.021" in (tmp_path / "trials" / "0002" / "diff.patch").read_text()


def test_a_file_is_replaced_not_rewritten_and_all_users_may_read_it(tmp_path: Path) -> None:
    path, reader, plain = tmp_path / "a.txt", tmp_path / "reader", tmp_path / "plain"
    plain.touch()
    write_atomically(path, "old")
    reader.hardlink_to(path)  # what a process that has opened it before still reads
    write_atomically(path, "new")

    assert (path.read_text(), reader.read_text()) == ("new", "old")
    assert path.stat().st_mode == plain.stat().st_mode, "all that the user's umask lets read it"


def test_a_trial_folder_has_program_diff_and_result(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    population = make_population(2.0, 1.9)
    child = population.trials[1]
    run.write_trial(child, population)

    folder = tmp_path / "trials" / "0001"
    assert (folder / "train.py").read_text() == child.program.source
    assert "+MATRIX_LR = 0.021" in (folder / "diff.patch").read_text()
    assert json.loads((folder / "result.json").read_text())["when_written"]["val_bpb"] == 1.9


def test_the_diff_applies_even_without_a_final_newline(tmp_path: Path) -> None:
    old, new = Program("A = 1\nB = 2"), Program("A = 1\nB = 3")
    (tmp_path / "train.py").write_text(old.source)
    subprocess.run(["git", "apply"], input=diff(old, new), text=True, cwd=tmp_path, check=True)

    assert (tmp_path / "train.py").read_text() == new.source


def test_a_failed_write_leaves_the_old_text_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*/a\.txt'"):
            write_atomically(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    kept = [run.root / ".search_id", run.root / ".lock", run.root / "a.part"]
    for path in (*kept, run.root / ".summary.json.0a1b2c3d.part", run.root / "trials" / ".train.py.0a1b2c3d.part"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (run.root / "journal.log.lock").symlink_to("journal.log")
    (run.root / "journal.log.lock0a1b.rename").symlink_to("journal.log")
    run.clear_leftovers()

    assert sorted(run.root.iterdir()) == sorted([*kept, run.root / "trials"])
    assert list((run.root / "trials").iterdir()) == []


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
    assert len((tmp_path / ".lock").read_text().splitlines()) == 1, "the holders before are not named"


def test_the_summary_counts_the_device_time_of_scores_too(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_summary(make_summary(make_population(2.0, 1.9)))

    assert json.loads(run.summary.read_text())["gpu_seconds"] == 18.0
