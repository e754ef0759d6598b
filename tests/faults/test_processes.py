"""kill -9 of any process of a real search but the search itself: it goes on, and what was under way is done again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from tests.faults.books import check_books
from tests.faults.processes import assert_gone, child_in, family, trainings_in, wait_until
from tests.search.command import QUIET, command

VICTIMS = {
    "a training": ("train", 0),
    "the zygote of a model server": ("serve", 1),
    "a model server": ("serve", 0),
    "the worker of a training": ("train", 2),
}
TRAININGS = 1 + 2 * len(VICTIMS)  # one that is killed counts twice


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One search in which each of them is killed once, in trainings of their own."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "tmp").mkdir()
    search = subprocess.Popen(
        command("name=k", f"budget.trainings={TRAININGS}", QUIET),
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    rng, journal = random.Random(8), folder / "outputs" / "k" / "journal.log"
    killed: list[str] = []
    seen: list[psutil.Process] = []
    try:
        for name, (mode, generations) in VICTIMS.items():
            finished = trainings_in(journal)
            while name not in killed:
                child = wait_until(lambda mode=mode: child_in(mode, search.pid), while_running=search.pid)
                threading.Event().wait(rng.uniform(0, 0.2))
                seen += family(search.pid)
                try:
                    victim = [child, *child.parents()][generations]
                    victim.kill()
                except psutil.NoSuchProcess:  # it was quicker: the next one
                    continue
                killed.append(name)
            wait_until(lambda finished=finished: trainings_in(journal) > finished, while_running=search.pid)
        said, _ = search.communicate(timeout=300)
    finally:
        search.send_signal(signal.SIGKILL)
        print(search.communicate()[0])  # noqa: T201 -- why it ended, if it did
    assert search.returncode == 0, said
    assert_gone(seen)
    return folder


def test_nothing_is_lost_and_nothing_counted_twice(outputs: Path) -> None:
    population = check_books(outputs / "outputs" / "k", trainings=TRAININGS)

    found = [(run.outcome.value, run.detail) for trial in population.trials for run in trial.evaluations]
    assert not [detail for _, detail in found if "SIGKILL" in detail or "killed" in detail], "a candidate was blamed"
    assert [outcome for outcome, _ in found].count("ok") >= len(found) - 1


def test_no_temporary_file_remains(outputs: Path) -> None:
    assert list((outputs / "tmp").iterdir()) == []
