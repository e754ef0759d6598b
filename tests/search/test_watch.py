"""When pictures are drawn: while a slot trains, because between two trainings it would wait for them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from search.budget import Budget
from search.observer import Running
from search.runs.rundir import RunDirectory
from search.tracker import NullTracker
from search.watch import Watch
from tests.search.builders import make_population, make_summary

POPULATION = make_population(2.0, 1.9)
YOUNG, OLD = (Running(number=2, stage="train", seconds=seconds) for seconds in (0.5, 100.0))
PROPOSAL = Running(number=3, stage="propose", seconds=0.1)


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
    watch = Watch(RunDirectory(tmp_path), name="a", budget=Budget(trainings=9), make_tracker=NullTracker)
    watch._next_drawing = time.monotonic() - overdue_seconds
    watch.recorded(POPULATION, make_summary(POPULATION))
    assert not (tmp_path / "progress.png").exists()

    watch.tick(running)
    assert (tmp_path / "progress.png").exists() == drawn


def test_where_no_training_is_seen_they_are_drawn_with_a_verdict(tmp_path: Path) -> None:
    watch = Watch(RunDirectory(tmp_path), name="a", budget=Budget(trainings=9), make_tracker=NullTracker)
    watch._next_drawing = time.monotonic() - 100
    watch.recorded(POPULATION, make_summary(POPULATION))
    assert (tmp_path / "progress.png").exists()
