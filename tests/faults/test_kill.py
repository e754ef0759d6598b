"""kill -9 of a real search, again and again: what was finished is kept, the rest is run again, no process survives.

`test_writes` has the many moments between two writes; here are real workers and trainings.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from operators.population import Population
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from tests.faults.books import check_books, check_kept, check_ledger
from tests.faults.processes import assert_gone, below, child_in, family, trainings_in, wait_until
from tests.search.command import QUIET, command, run, verdicts_of

BUDGET = 3
SEARCH = ("name=k", "strategy=evolution", "seed=3", f"budget.trainings={BUDGET}", "executor.workers=1", QUIET)
ONE_WORKER = "executor.preflight_workers=0"
"""For the last sessions: a second worker imports torch twice, and was killed twice by then."""


def test_a_search_killed_again_and_again_ends_with_nothing_lost_and_nothing_repeated(tmp_path: Path) -> None:
    root = tmp_path / "outputs" / "k"
    moments: list[tuple[Callable[[int], object], tuple[str, ...]]] = [
        (lambda search: (root / "journal.log").exists(), ()),  # the corpus is next
        (lambda search: len([*below(search)]) >= 3, ()),  # two workers and a zygote: they are starting
        (lambda search: child_in("train", search), ()),
        (lambda search: trainings_in(root / "journal.log") and child_in("train", search), (ONE_WORKER,)),
    ]
    before, rows = Population(), list[tuple[str, str, str]]()
    for moment, more in moments:
        killed(tmp_path, moment, *more)
        after = read_population(RunDirectory(root))
        check_ledger(after)
        check_kept(before, after)
        now = verdicts_of(root) if (root / "results.tsv").exists() else []
        assert now[: len(rows)] == rows
        before, rows = after, now

    done = run(tmp_path, *SEARCH, ONE_WORKER)
    assert done.returncode == 0, done.stderr
    check_kept(before, check_books(root, trainings=BUDGET))
    assert verdicts_of(root)[: len(rows)] == rows


def killed(cwd: Path, moment: Callable[[int], object], *more: str) -> None:
    """Start the search, kill it when the moment has come, and check that no process survives."""
    search = subprocess.Popen(command(*SEARCH, *more), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: moment(search.pid), while_running=search.pid)
        processes = family(search.pid)
    finally:
        search.send_signal(signal.SIGKILL)
        search.wait()
    assert_gone(processes)
