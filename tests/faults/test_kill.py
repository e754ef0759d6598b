"""kill -9 of the search at any moment: what was finished is kept, what was under way is run again, nobody lives on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from search.ledger import read_population
from search.rundir import RunDirectory
from tests.search.command import QUIET, command, rows_of, run, summary_of

BUDGET = 6
SEARCH = ("name=k", "strategy=evolution", "seed=3", f"budget.trainings={BUDGET}", QUIET)


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def lines_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    search = subprocess.Popen(command(*SEARCH), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield search
    search.kill()
    search.wait()


def wait_for_line(search: subprocess.Popen[bytes], journal: Path, line: int) -> None:
    """Return when the journal has so many lines."""
    deadline = time.monotonic() + 120
    while lines_of(journal) < line and search.poll() is None:
        assert time.monotonic() < deadline, f"the journal stayed at {lines_of(journal)} lines"
        os.sched_yield()


@pytest.mark.parametrize("line", random.Random(7).sample(range(1, 28), 6))
def test_a_killed_search_resumes_with_nothing_lost_and_nothing_repeated(
    tmp_path: Path, started: subprocess.Popen[bytes], line: int
) -> None:
    root = tmp_path / "outputs" / "k"
    wait_for_line(started, root / "journal.log", line)
    family = descendants(started.pid)
    started.send_signal(signal.SIGKILL)
    started.wait()

    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "workers and candidates end with their search"
    before = read_population(RunDirectory(root))
    rows = rows_of(root) if (root / "results.tsv").exists() else []
    done = run(tmp_path, *SEARCH)
    assert done.returncode == 0, done.stderr
    after = read_population(RunDirectory(root))
    summary = summary_of(root)
    assert summary["status"] == "finished"
    assert summary["trainings"] == after.trainings == BUDGET
    for old, new in zip(before.trials, after.trials, strict=False):
        assert new.proposal == old.proposal
        assert new.evaluations[: len(old.evaluations)] == old.evaluations, "a finished training is kept, not repeated"
        assert old.decided is None or new.status is old.status
    measured = [(trial.number, each.seed) for trial in after.trials for each in trial.evaluations]
    assert len(set(measured)) == len(measured)
    final = rows_of(root)
    assert [row["number"] for row in final[: len(rows)]] == [row["number"] for row in rows]
    assert sorted(int(row["number"]) for row in final) == sorted(trial.number for trial in after.decided)
