"""A driver for all tests, and the result of its search when nothing goes wrong."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from operators.population import Population
from tests.faults.books import check_books
from tests.faults.driver import ROOT, Driver

TRAININGS = 6
Start = Callable[[Path, str], "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Undisturbed:
    """The result of the search when nothing goes wrong, and its number of writes."""

    population: Population
    writes: int

    def point(self, index: int, count: int) -> int:
        """Return a random write from the index-th of several equal parts of the search."""
        first, last = (1 + self.writes * each // count for each in (index, index + 1))
        return random.Random(f"{index} {count}").randrange(first, last)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    with Driver() as started:
        yield started


@pytest.fixture(scope="session")
def undisturbed(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    root = tmp_path_factory.mktemp("outputs") / "run"
    report = driver.session(root, trainings=TRAININGS, slots=1)
    assert report.exit == 0
    return Undisturbed(check_books(root, trainings=TRAININGS), report.writes)


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(root: Path, where: str) -> subprocess.Popen[str]:
        """Start a search, and return it once it is stuck."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.stuck", str(root), where],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr
        assert process.stderr.readline() in ("here\n", "closing\n")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
