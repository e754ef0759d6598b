"""SIGINT and SIGTERM: the first ends a search in order, whatever it is waiting for; the second ends it at once."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.books import check_books, check_kept
from tests.faults.conftest import Start
from tests.faults.driver import Driver
from tests.search.command import QUIET, command, summary_of


@pytest.mark.parametrize(("where", "number"), [("proposing", signal.SIGINT), ("starting", signal.SIGTERM)])
def test_the_first_ends_a_search_that_waits_for_ever(
    tmp_path: Path, start: Start, driver: Driver, where: str, number: signal.Signals
) -> None:
    root = tmp_path / "run"
    search = start(root, where)
    search.send_signal(number)
    said, errors = search.communicate(timeout=300)

    assert search.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"stopped: interrupted by {number.name}" in said
    assert summary_of(root)["stop_reason"] == f"interrupted by {number.name}"
    before = check_books(root)
    assert driver.session(root).exit == 0
    check_kept(before, check_books(root, trainings=8))


def test_a_search_that_was_killed_and_is_told_to_end_while_it_starts_is_no_longer_said_to_run(
    tmp_path: Path, start: Start, driver: Driver
) -> None:
    root = tmp_path / "run"
    assert driver.session(root, at=120).exit == -9
    assert summary_of(root)["status"] == "running"
    search = start(root, "starting")
    search.send_signal(signal.SIGTERM)
    search.communicate(timeout=300)

    assert search.returncode == 130
    check_books(root)


def test_the_first_cuts_the_end_short(tmp_path: Path, start: Start) -> None:
    search = start(tmp_path / "run", "closing")
    search.send_signal(signal.SIGINT)
    search.communicate(timeout=300)

    assert search.returncode == 130
    check_books(tmp_path / "run", trainings=8)


def test_the_second_ends_it_at_once(tmp_path: Path, start: Start) -> None:
    search = start(tmp_path / "run", "proposing and closing")
    search.send_signal(signal.SIGTERM)
    assert search.stderr
    while search.stderr.readline() != "closing\n":  # each slot has a proposal that says "here"
        assert search.poll() is None
    search.send_signal(signal.SIGINT)
    search.communicate(timeout=300)

    assert search.returncode == -signal.SIGINT


def test_the_command_says_so_when_it_is_told_to_end_while_it_starts(tmp_path: Path) -> None:
    search = subprocess.Popen(
        command("name=g", QUIET), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert search.stdout
    while "preparing the corpus" not in (line := search.stdout.readline()):  # a slow machine says what came before it
        assert line, "the search ended first"
    search.send_signal(signal.SIGTERM)
    said, errors = search.communicate(timeout=300)

    assert search.returncode == 130
    assert errors.startswith("resume: ")
    assert len(errors.splitlines()) == 1
    assert "stopped: interrupted by SIGTERM" in said
