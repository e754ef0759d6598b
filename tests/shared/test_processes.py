"""Several processes work on one search; one of them is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from tests.faults.books import check_books
from tests.faults.driver import ROOT, TRAINED
from tests.faults.processes import wait_until

TRAININGS = 12


def start(tmp_path: Path, host: str, url: str, **order: Any) -> subprocess.Popen[str]:
    root = tmp_path / host / "k"
    given = {"root": str(root), "url": url, "trainings": TRAININGS, **order}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.shared.member", json.dumps(given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(member: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = member.communicate(timeout=300)
    assert member.returncode == 0, err
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    return summary


def begun(tmp_path: Path) -> Counter[str]:
    """How often each training, `program seed`, was begun."""
    diary = tmp_path / TRAINED
    return Counter(diary.read_text().splitlines()) if diary.exists() else Counter()


def beats_of_the_youngest(url: str) -> int:
    """How often the session that joined last has shown that it lives; 0 while there are not two."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT beats FROM graft_sessions ORDER BY id").fetchall()
    return int(rows[-1][0]) if len(rows) > 1 else 0


def same_books(tmp_path: Path, *hosts: str) -> None:
    roots = [tmp_path / host / "k" for host in hosts]
    populations = [check_books(root, trainings=TRAININGS) for root in roots]
    assert all(population == populations[0] for population in populations)
    shorter, longer = sorted(((root / "journal.log").read_bytes() for root in roots), key=len)
    assert longer.startswith(shorter)  # a session that ends writes how long it took


def test_two_sessions_share_a_budget_and_train_nothing_twice(tmp_path: Path, url: str) -> None:
    members = [start(tmp_path, host, url) for host in ("a", "b")]
    summaries = [finish(member) for member in members]

    assert [summary["trainings"] for summary in summaries] == [TRAININGS, TRAININGS]
    assert set(begun(tmp_path).values()) == {1}
    assert begun(tmp_path).total() == TRAININGS
    for host in ("a", "b"):  # the first to finish lacks the last verdicts of the other until it looks again
        finish(start(tmp_path, host, url))
    same_books(tmp_path, "a", "b")


def test_what_a_killed_session_had_begun_is_taken_over(tmp_path: Path, url: str) -> None:
    dead = start(tmp_path, "a", url, hang_after=3)
    wait_until(lambda: begun(tmp_path).total() == 4, while_running=dead.pid)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()

    summary = finish(start(tmp_path, "b", url, takeover_seconds=0.5))

    assert summary["trainings"] == TRAININGS
    assert begun(tmp_path).total() == TRAININGS + 1, "the training that hung was begun again, and no other"
    assert finish(start(tmp_path, "a", url))["trainings"] == TRAININGS
    same_books(tmp_path, "a", "b")


def test_a_session_waits_for_the_last_training_of_another_and_does_it_if_that_dies(tmp_path: Path, url: str) -> None:
    dead = start(tmp_path, "a", url, hang_after=TRAININGS - 1)
    wait_until(lambda: begun(tmp_path).total() == TRAININGS, while_running=dead.pid)
    other = start(tmp_path, "b", url, takeover_seconds=4)
    wait_until(lambda: beats_of_the_youngest(url) > 20, while_running=other.pid)  # it has had several turns

    assert begun(tmp_path).total() == TRAININGS, "there is nothing left to train"
    dead.send_signal(signal.SIGKILL)
    dead.communicate()

    assert finish(other)["trainings"] == TRAININGS
    assert begun(tmp_path).total() == TRAININGS + 1


def test_a_session_with_another_configuration_is_refused(tmp_path: Path, url: str) -> None:
    finish(start(tmp_path, "a", url))

    other = start(tmp_path, "b", url, config={"seed": 5})
    _, err = other.communicate()

    assert other.returncode
    assert "UserError: the database holds a search with another configuration: seed was 0, is 5" in err
    assert len(read_population(RunDirectory(tmp_path / "a" / "k")).trials) > 0
