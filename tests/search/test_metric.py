"""A user reads the metric of the target, by its name and in its direction."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from search.budget import Budget
from search.final.report import final_text, judge_final
from search.metric import read_metric
from search.runs.rundir import RunDirectory
from search.views.console import Display
from search.views.drawing import live_view
from target.evaluation import Evaluation, Outcome
from target.metric import VAL_BPB, Metric, metric_of
from tests.search.builders import make_population, make_summary

SPEED = Metric(name="speed", is_maximized=True, file="tool.sh")


@pytest.mark.parametrize(
    ("metric", "score", "text"),
    [
        (VAL_BPB, 2.5, "2.5000"),
        (VAL_BPB, 12.0, "12.0000"),
        (SPEED, -3.0, "3"),
        (SPEED, -0.25, "0.2500"),
        (SPEED, 0.0, "0"),
        (Metric(name="bytes"), 57457.0, "57457"),
        (Metric(name="bytes"), 57457.8787, "57457.9"),
        (Metric(name="ms"), 123.456, "123.46"),
    ],
)
def test_numbers_have_the_decimals_that_they_need(metric: Metric, score: float, text: str) -> None:
    assert metric.text(score) == text


def test_a_difference_has_the_direction_of_the_metric_and_the_decimals_of_its_score() -> None:
    assert SPEED.delta_text(-0.5, -3.25) == "+0.5000"
    assert VAL_BPB.delta_text(-0.5, 3.25) == "-0.5000"
    assert Metric(name="bytes").delta_text(-33421.6078, 57484.0) == "-33421.6"


def test_it_is_what_the_target_describes(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert read_metric(run.environment) == VAL_BPB
    described = {"metric": {"name": "speed", "direction": "maximize", "verified": False}, "file": "tool.sh"}
    run.environment.write_text(json.dumps({"commit": None, **described}))

    assert read_metric(run.environment) == metric_of(described) == SPEED
    assert metric_of({"kind": "cpu"}) == VAL_BPB


def test_the_console_speaks_of_it(tmp_path: Path) -> None:
    population = make_population(-3.0, -5.0, -4.5)
    summary = make_summary(population)
    out = io.StringIO()
    display = Display(Budget(trainings=3), Console(file=out, highlight=False))
    display.metric = SPEED
    for _ in range(2):
        display.recorded(population, summary)
    display.finish(population, summary, RunDirectory(tmp_path), None)
    view = Console(file=io.StringIO(), width=120)
    view.print(live_view(population, summary, (), Budget(trainings=3), wall_seconds=1.0, height=40, metric=SPEED))
    text, table = out.getvalue(), view.file.getvalue()  # type: ignore[attr-defined]

    assert "baseline 3   best 5" in text
    assert "--- a/tool.sh" in text
    assert "gain 2.0000" in text
    assert "speed 3 -> 5" in table
    assert "+2.0000" in table
    assert "val_bpb" not in text + table


def test_the_final_report_speaks_of_it() -> None:
    runs = [
        tuple(
            Evaluation(outcome=Outcome.OK, seed=seed, score=score - seed / 1000) for score in (-3.0, -5.0 - seed / 100)
        )
        for seed in range(5)
    ]
    report = judge_final(1, "id", runs, reported_difference=-2.0, looks=0, metric=SPEED)  # type: ignore[arg-type]
    text = final_text(report, SPEED)

    assert "the whole 95 % interval is above zero, the search reported +2.0000" in text
    assert "3.0020 → 5.0220, difference +2.0200 [+2.0004, +2.0396]" in text
