"""When pages and pictures are drawn: while a slot trains, because between two trainings it would wait for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.observer import Running
from search.pictures import PAGE_SECONDS, PICTURE_SECONDS, Pictures
from search.runs.rundir import RunDirectory
from search.views.selfcontained import unpack
from tests.search.builders import make_population, make_summary

POPULATION = make_population(2.0, 1.9)
YOUNG, OLD = (Running(number=1, stage="train", seconds=seconds) for seconds in (0.5, 100.0))
PROPOSAL = Running(number=3, stage="propose", seconds=0.1)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def pictures_in(folder: Path) -> tuple[Pictures, Clock]:
    clock = Clock()
    return Pictures(RunDirectory(folder), clock=clock), clock


@pytest.mark.parametrize(
    ("overdue_seconds", "running", "drawn"),
    [
        (-1.0, [YOUNG], False),
        (1.0, [], False),
        (1.0, [PROPOSAL], False),
        (1.0, [YOUNG, PROPOSAL], True),
        (1.0, [OLD], False),  # it may end before the drawing does
        (40.0, [OLD], True),
    ],
)
def test_pictures_are_drawn_while_a_slot_trains(
    tmp_path: Path, overdue_seconds: float, running: list[Running], drawn: bool
) -> None:
    pictures, clock = pictures_in(tmp_path)
    pictures.recorded(POPULATION, make_summary(POPULATION))
    clock.seconds = PICTURE_SECONDS + overdue_seconds
    pictures.tick(running)

    assert [(tmp_path / name).exists() for name in ("progress.png", "lineage.html")] == [drawn, drawn]


def test_where_no_training_is_seen_they_are_drawn_with_a_verdict(tmp_path: Path) -> None:
    pictures, clock = pictures_in(tmp_path)
    clock.seconds = 4 * PICTURE_SECONDS
    pictures.recorded(POPULATION, make_summary(POPULATION))

    assert {each.name for each in tmp_path.iterdir()} == {"progress.png", "lineage.html", "report.html"}


def test_the_report_is_written_from_the_first_verdict_on_and_when_something_has_changed(tmp_path: Path) -> None:
    pictures, clock = pictures_in(tmp_path)
    page = tmp_path / "report.html"
    pictures.recorded(make_population(), make_summary(make_population()))
    clock.seconds = 1.0
    pictures.tick([YOUNG])
    assert not page.exists(), "there is no verdict yet"

    written = []
    for seconds, population in (
        (2, make_population(2.0)),
        (4, POPULATION),
        (20, POPULATION),
        (24, POPULATION),
        (60, POPULATION),
    ):
        clock.seconds = float(seconds)
        pictures.recorded(population, make_summary(population, status="running"))
        pictures.tick([OLD])
        written.append(len(unpack(page.read_text())["trials"]) if page.exists() else 0)
        page.unlink(missing_ok=True)

    assert written == [1, 0, 2, 0, 2]
    assert PAGE_SECONDS < 20 - 2


def test_the_last_pages_say_that_the_search_has_ended(tmp_path: Path) -> None:
    pictures, _ = pictures_in(tmp_path)
    pictures.finish(POPULATION, make_summary(POPULATION))

    assert not any(unpack((tmp_path / name).read_text())["running"] for name in ("report.html", "lineage.html"))
    assert 'http-equiv="refresh"' not in (tmp_path / "report.html").read_text()
