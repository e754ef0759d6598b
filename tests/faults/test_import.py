"""kill -9 while a search takes over the trials of an earlier one: the same command again has all of them, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.books import check_books, check_kept, check_ledger, population_of
from tests.faults.conftest import TRAININGS
from tests.faults.driver import Driver

POINTS = 16
MORE = 3


@pytest.fixture(scope="module")
def source(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("earlier") / "run"
    assert driver.session(root, trainings=TRAININGS, slots=1).exit == 0
    return root


@pytest.fixture(scope="module")
def writes(driver: Driver, source: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    root = tmp_path_factory.mktemp("outputs") / "next"
    return driver.session(root, trainings=MORE, slots=1, source=str(source)).writes


@pytest.mark.parametrize("fault", ["kill", "tear", "terminate"])
@pytest.mark.parametrize("point", range(POINTS))
def test_a_search_killed_at_any_write_has_every_imported_trial_once(
    driver: Driver, source: Path, writes: int, point: int, fault: str, tmp_path: Path
) -> None:
    root = tmp_path / "outputs" / "next"
    at = 1 + writes * point // POINTS
    first = driver.session(root, trainings=MORE, slots=1, source=str(source), fault=fault, at=at)
    assert first.exit in (0, -9, 130)
    check_ledger(population_of(root))

    done = driver.session(root, trainings=MORE, slots=1, source=str(source))
    assert done.exit == 0, done.message
    found, known = check_books(root, trainings=MORE), population_of(source)
    for old, new in zip(known.trials, found.trials, strict=False):
        assert (new.program, new.status, new.values) == (old.program, old.status, old.values)
    assert [trial.origin for trial in found.trials if trial.imported] == [f"run#{n}" for n in range(len(known.trials))]


def test_a_resumed_search_needs_the_earlier_one_no_more(driver: Driver, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "run"
    shutil.copytree(source, copy)
    root = tmp_path / "outputs" / "next"
    assert driver.session(root, trainings=MORE, slots=1, source=str(copy)).exit == 0
    before = population_of(root)

    assert driver.session(copy, trainings=TRAININGS + 2, slots=1).exit == 0  # it grew
    assert driver.session(root, trainings=MORE, slots=1, source=str(copy)).exit == 0
    assert population_of(root) == before
    shutil.rmtree(copy)
    assert driver.session(root, trainings=MORE + 1, slots=1, source=str(copy)).exit == 0
    check_kept(before, check_books(root, trainings=MORE + 1))
