"""A search that dies, is told to end, or finds the disk full at any of its writes; the same command again goes on.

The searches are the product's from `run_session` down; only the evaluations are instant.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from operators.population import Population
from tests.faults.books import check_books, check_kept, check_ledger, mirrored, population_of, trained
from tests.faults.conftest import TRAININGS, Start, Undisturbed
from tests.faults.driver import TRAINED, Driver
from tests.search.command import summary_of, verdicts_of

KILLS, TEARS, SIGNALS = 28, 8, 10  # of searches of their own
KILLS_OF_ONE_SEARCH = 20


def rows_before(root: Path) -> list[tuple[str, str, str]]:
    return verdicts_of(root) if (root / "results.tsv").exists() else []


def diary(root: Path) -> list[str]:
    path = root.parent / TRAINED
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("fault", "index", "count"),
    [
        *(("kill", index, KILLS) for index in range(KILLS)),
        *(("tear", index, TEARS + 1) for index in range(TEARS)),  # the journal is not written to at the very end
    ],
)
def test_a_search_killed_at_a_write_ends_as_if_it_had_not_been(
    driver: Driver, tmp_path: Path, undisturbed: Undisturbed, fault: str, index: int, count: int
) -> None:
    root, at = tmp_path / "run", undisturbed.point(index, count)
    assert driver.session(root, trainings=TRAININGS, slots=1, fault=fault, at=at).exit == -9
    before, rows, begun = population_of(root), rows_before(root), diary(root)
    check_ledger(before)
    assert len(begun) - len(trained(before.trials)) in (0, 1)

    assert driver.session(root, trainings=TRAININGS, slots=1).exit == 0
    after = check_books(root, trainings=TRAININGS)
    check_kept(before, after)
    assert verdicts_of(root)[: len(rows)] == rows, "verdicts are final"
    assert trained(before.trials).isdisjoint(diary(root)[len(begun) :]), "what was finished is not trained again"
    assert after == undisturbed.population


def test_one_search_killed_again_and_again_comes_to_its_end(driver: Driver, tmp_path: Path) -> None:
    root, rng = tmp_path / "run", random.Random(4)
    before, rows, begun = Population(), rows_before(root), 0
    for _ in range(KILLS_OF_ONE_SEARCH):
        report = driver.session(root, trainings=40, slots=2, at=rng.randrange(1, 90))
        assert report.exit == -9, report
        after = population_of(root)
        check_ledger(after)
        check_kept(before, after)
        assert rows_before(root)[: len(rows)] == rows
        again = diary(root)[begun:]
        assert trained(before.trials).isdisjoint(again)
        assert len(again) <= len(trained(after.trials) - trained(before.trials)) + 2, "only what was in flight is lost"
        before, rows, begun = after, rows_before(root), len(diary(root))

    assert before.trainings < 40, "it was killed to the last"
    assert driver.session(root, trainings=40, slots=2).exit == 0
    check_kept(before, check_books(root, trainings=40))


@pytest.mark.parametrize("index", range(SIGNALS))
def test_a_search_told_to_end_at_a_write_leaves_consistent_files_and_goes_on(
    driver: Driver, tmp_path: Path, undisturbed: Undisturbed, index: int
) -> None:
    root, at = tmp_path / "run", undisturbed.point(index, SIGNALS)
    report = driver.session(root, trainings=TRAININGS, slots=1, fault="terminate", at=at)
    assert (report.exit, report.message) == (130, "interrupted by SIGTERM")
    before = population_of(root)
    if (root / "summary.json").exists() and before.trainings < TRAININGS:
        assert summary_of(root)["stop_reason"] == "interrupted by SIGTERM"
        check_books(root)

    assert driver.session(root, trainings=TRAININGS, slots=1).exit == 0
    after = check_books(root, trainings=TRAININGS)
    check_kept(before, after)
    assert after == undisturbed.population


def test_a_mirror_is_complete_after_kills(driver: Driver, tmp_path: Path) -> None:
    root = tmp_path / "run"
    tracked = {"trainings": TRAININGS, "slots": 1, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    for at in (30, 45, 60):
        assert driver.session(root, **tracked, at=at).exit == -9
    assert driver.session(root, **tracked).exit == 0

    assert mirrored(tmp_path) == [trial.number for trial in check_books(root, trainings=TRAININGS).decided]


def test_a_second_search_on_the_folder_is_refused_and_the_first_goes_on_unharmed(
    driver: Driver, tmp_path: Path, start: Start
) -> None:
    root = tmp_path / "run"
    first = start(root, "closing")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    second = driver.session(root, trainings=40)

    assert second.exit == 2
    assert f"{root} is in use by process {first.pid} on " in second.message
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=300)
    check_kept(check_books(root, trainings=8), population_of(root))
    assert driver.session(root, trainings=10).exit == 0


def test_a_wall_clock_that_jumps_changes_nothing(driver: Driver, tmp_path: Path, undisturbed: Undisturbed) -> None:
    root = tmp_path / "run"
    jumping = {"trainings": TRAININGS, "hours": 100.0, "slots": 1, "fault": "jump"}
    assert driver.session(root, **jumping, at=undisturbed.writes // 2).exit == -9
    assert driver.session(root, **jumping).exit == 0

    assert check_books(root, trainings=TRAININGS) == undisturbed.population
    assert 0 < summary_of(root)["wall_seconds"] < 3600
