"""What a user reads while a search prepares something, and the losses of trainings under way."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from operators.population import Population
from operators.trial import Status
from search.budget import Budget
from search.observer import Running
from search.runs.rundir import RunDirectory
from search.views.busy import Busy, SparseLines
from search.views.console import Display
from search.views.losses import Losses, champion_loss
from target.launch.curve_watch import CurveWatch
from target.running_curve import read_running_loss, running_loss_file, write_running_loss
from target.stopping import StopRule
from tests.search.builders import make_evaluation, make_population, make_summary, make_trial

CURVE = tuple((float(second), 5.0 - second / 10) for second in range(11))


def test_a_file_gets_a_line_every_four_seconds_and_after_a_minute_once_a_minute() -> None:
    lines: list[str] = []
    sparse = SparseLines(lines.append, clock=lambda: 0.0)
    for second in range(200):
        sparse.show("the corpus is prepared", float(second))
    sparse.show("the workers start", 1.0)
    sparse.show("the workers start", 5.0)

    seconds = (*range(4, 61, 4), 120, 180)
    assert lines == [f"the corpus is prepared: {each} s" for each in seconds] + ["the workers start: 5 s"]


def test_the_silence_of_phases_that_follow_one_another_is_added() -> None:
    times, lines = iter((1000.0, 1000.0, 1003.0, 1004.5, 1004.5)), list[str]()
    first, second = (SparseLines(lines.append, clock=lambda: next(times)) for _ in range(2))
    first.show("text", 4.0)
    second.show("workers", 3.0)
    second.show("MLflow", 1.0)

    assert lines == ["text: 4 s", "MLflow: 1 s"]


def test_it_says_so_from_a_thread_until_its_block_ends() -> None:
    said, enough = [], threading.Event()

    def show(text: str, seconds: float) -> None:
        said.append((text, seconds))
        if len(said) == 3:
            enough.set()

    with Busy("waiting", show, look_seconds=0.001):
        assert enough.wait(300)
    count = len(said)

    assert {text for text, _ in said} == {"waiting"}
    assert sorted(seconds for _, seconds in said) == [seconds for _, seconds in said]
    assert len(said) == count, "its thread has ended"


def test_a_terminal_shows_a_line_that_changes_in_place() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    with Display(Budget(trainings=4), console) as display:
        for second in range(3):
            display._animate("MLflow starts", float(second))
        display.recorded(make_population(2.0), make_summary(make_population(2.0), status="running", stop_reason=""))
        display._animate("MLflow starts", 3.0)

    text = out.getvalue()
    assert [f"MLflow starts ... {second} s" in text for second in range(4)] == [True] * 4
    assert "\x1b[1A" in text or "\r" in text, "it is drawn over"
    assert "baseline" in text.rpartition("... 3 s")[0], "the table stays above it"


def test_a_training_tells_its_loss_while_it_runs_and_the_file_goes_with_it(tmp_path: Path) -> None:
    log = tmp_path / "run-7.log"
    with running_loss_file(log):
        assert read_running_loss(tmp_path) is None
        write_running_loss(log, CURVE[:1])
        assert read_running_loss(tmp_path) is None, "one point is no curve"
        write_running_loss(log, CURVE)
        assert read_running_loss(tmp_path) == (10.0, pytest.approx(4.25))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_leaves_is_removed_by_the_next_session(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.trial(3).mkdir(parents=True)
    write_running_loss(run.trial(3) / "run-1.log", CURVE)
    run.clear_leftovers()

    assert list(run.trial(3).iterdir()) == []


def test_the_loss_is_noted_about_once_a_second_by_the_clock_of_the_target(tmp_path: Path) -> None:
    looks: list[float] = []

    def curve() -> Any:
        looks.append(clock.wall_seconds)
        return CURVE

    spec: Any = SimpleNamespace(clock="wall", limit_seconds=50.0)
    clock: Any = SimpleNamespace(cpu_seconds=0.0, wall_seconds=0.0)
    watch = CurveWatch(StopRule(), SimpleNamespace(curve=curve), spec, tmp_path / "run-1.log")  # type: ignore[arg-type]
    for tenth in range(35):
        clock.wall_seconds = tenth / 10
        assert watch.look(clock) is None

    assert looks == [1.0, 2.0, 3.0]
    assert read_running_loss(tmp_path) is not None


def test_the_loss_is_compared_with_the_champions_at_the_same_time(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    theirs = replace(make_evaluation(2.0), curve=tuple((seconds, loss - 0.1) for seconds, loss in CURVE))
    population = Population((replace(make_trial(0, 2.0, status=Status.BASELINE), evaluations=(theirs,)),))
    (run.trial(5)).mkdir(parents=True)
    write_running_loss(run.trial(5) / "run-1.log", CURVE)
    work = [Running(number=5, stage="train", seconds=9), Running(number=6, stage="propose", seconds=1)]
    now = [100.0]
    losses = Losses(run, clock=lambda: now[0])
    losses.recorded(population)
    first, second = losses.added_to(work)
    write_running_loss(run.trial(5) / "run-1.log", CURVE[:5])
    now[0] += 0.5
    unchanged, _ = losses.added_to(work)
    now[0] += 1.0
    again, _ = losses.added_to(work)

    assert first.loss == "loss 4.250 (+0.100)"
    assert second.loss == ""
    assert unchanged == first, "it looks once a second"
    assert again.loss == "loss 4.700 (+0.100)"
    assert champion_loss(population.trials[0], 20.0) is None, "nothing is extrapolated"
