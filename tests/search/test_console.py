"""The live display, drawn on a terminal that remembers, and the plain lines."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from operators.population import Population
from operators.trial import Status
from search.budget import Budget
from search.observer import Running
from search.printed import command
from search.runs.rundir import RunDirectory
from search.views.console import Display
from search.views.drawing import live_view
from search.views.pulse import sparkline
from target.metric import Metric
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial

ROOT = Path(__file__).parents[2]
BUDGET = Budget(trainings=16, hours=0.5, usd=2.0)
ESCAPE = "\x1b"


def plain_display():
    out = io.StringIO()
    return Display(BUDGET, Console(file=out, highlight=False)), out


def terminal_display(width=130):
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=width, height=40, highlight=False, _environ={"TERM": "xterm"}
    )
    return Display(BUDGET, console), out


def play(display, population):
    for count in range(1, len(population.trials) + 1):
        part = Population(population.trials[:count])
        display.recorded(part, make_summary(part, status="running", stop_reason=""))


def draw(population, running=(), budget=BUDGET, wall_seconds=120.0, width=130, height=40):
    console = Console(file=io.StringIO(), width=width, height=height)
    summary = make_summary(population, status="running", stop_reason="")
    console.print(live_view(population, summary, running, budget, wall_seconds=wall_seconds, height=height))
    return console.file.getvalue()


def row_of(text, number):
    (row,) = (line for line in text.splitlines() if line.split()[:1] == [str(number)])
    return row


def test_without_a_terminal_there_is_one_plain_line_a_verdict():
    display, out = plain_display()
    with display:
        play(display, MIXED)

    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        [f"#{trial.number:04d}", trial.status.value] for trial in MIXED.decided
    ]
    assert ESCAPE not in out.getvalue()
    assert "val_bpb 1.8500  -0.0500 to parent" in lines[5]
    assert "constants of #1: MATRIX_LR -> 0.025" in lines[5]
    assert "[crashed: no luck]" in lines[2]


def test_plain_lines_are_not_wrapped_and_not_repeated():
    long = replace(MIXED.trials[1], detail="why " * 100)
    population = MIXED.with_trial(long)
    display, out = plain_display()
    with display:
        play(display, population)
        display.recorded(population, make_summary(population))

    assert len(out.getvalue().splitlines()) == len(population.decided)


def test_a_resumed_search_does_not_list_what_was_decided_before():
    display, out = plain_display()
    with display:
        display.recorded(Population(MIXED.trials[:4]), make_summary(MIXED))
        display.recorded(Population(MIXED.trials[:6]), make_summary(MIXED))

    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["resumed:", "#0004", "#0005"]


def test_what_a_terminal_would_obey_is_not_passed_on():
    hostile = f"{ESCAPE}[2J{ESCAPE}]0;title\x07 [red]x[/red] :smile: \r\nnext"
    trial = make_trial(1, 1.9, status=Status.KEEP, description=hostile, detail=hostile)
    population = Population((make_trial(0, 2.0, status=Status.BASELINE), trial))
    plain, out = plain_display()
    with plain:
        plain.message(hostile)
        play(plain, population)
    text = out.getvalue() + draw(population)

    assert not any(char in text for char in (ESCAPE, "\x07", "\r"))
    assert "[red]x[/red] :smile:" in text


def test_further_trainings_of_a_trial_have_lines_of_their_own():
    display, out = plain_display()
    trial = make_trial(3, 1.9, status=Status.KEEP, seeds=(4, 7))
    display.measured(make_trial(3, 1.9, status=Status.KEEP), make_evaluation(1.9))
    display.measured(trial, trial.evaluations[1])

    assert out.getvalue() == "#0003 training 2 (seed 7): val_bpb 1.9000, 8.0 s\n"


def test_the_table_shows_the_last_trials_and_what_is_under_way():
    running = [Running(number=10, stage="train", seconds=3.2), Running(number=99, stage="propose", seconds=1.0)]
    text = draw(MIXED, running)

    assert row_of(text, 5).split() == [
        "5",
        "constants",
        "#1",
        "1.8500",
        "-0.0500",
        "8.0",
        "keep",
        "MATRIX_LR",
        "->",
        "0.025",
    ]
    assert row_of(text, 10).split()[-5:] == ["3", "train", "MATRIX_LR", "->", "0.03"]
    assert "2.0000 -> 1.8000  (trial #9)" in text


@pytest.mark.parametrize(("height", "rows"), [(40, 26), (80, 30), (24, 10), (15, 3)])
def test_a_long_search_fills_the_height_of_the_terminal(height, rows):
    population = make_population(*[2.0 - number / 100 for number in range(40)])
    text = draw(population, height=height)

    assert len([line for line in text.splitlines() if "constants" in line]) == rows
    assert len(text.splitlines()) <= max(height, 17)


def test_the_champion_stays_in_sight():
    population = make_population(2.0, 1.5, *[1.9] * 30)

    assert row_of(draw(population, height=24), 1).split()[6] == "champion"
    assert "champion" not in draw(make_population(2.0, 1.5))


def test_the_pulse_says_how_the_search_is_doing():
    running = [Running(number=10, stage="train", seconds=3.2), Running(number=11, stage="propose", seconds=1.0)]
    text = draw(MIXED, running)

    assert "gain 0.2000" in text
    assert "last keep 0 trainings ago; kept 3 of 9 (33%), failed 4 of 9 (44%); 1 in propose, 1 in train; 0.1" in text
    pruned = make_population(2.0, 1.5, Status.PRUNED, 1.9)
    assert "kept 1 of 3 (33%), failed 0 of 3 (0%), pruned 1 of 3 (33%)" in draw(pruned)
    worse = make_population(2.0, 1.5, 1.9, 1.9)
    assert "last keep 2 trainings ago" in draw(worse)
    assert "no improvement yet" in draw(make_population(2.0, 2.5))


def test_the_line_of_the_best_falls_with_each_improvement():
    assert sparkline(make_population(2.0, 1.9, 1.95, 1.3, 1.3), 60) == "█▇▇▁▁"
    assert sparkline(make_population(2.0, 2.1), 60) == "██"
    up = Metric(name="accuracy", is_maximized=True)
    assert sparkline(make_population(-0.5, -0.55, -0.9), 60, metric=up) == "▁▂█"
    long = sparkline(make_population(*[2.0 - number / 1000 for number in range(500)]), 40)
    assert len(long) == 40
    assert list(long) == sorted(long, reverse=True)
    assert long[-1] == "▁"


def test_gains_are_in_units_of_the_noise_and_time_since_the_last_is_that_of_the_session():
    console = Console(file=io.StringIO(), width=130)
    summary = make_summary(MIXED)
    view = live_view(MIXED, summary, (), BUDGET, wall_seconds=1.0, height=40, kept_seconds_ago=725.0, noise_sd=0.01)
    console.print(view)

    assert "gain 0.2000 (20.0 sd)" in console.file.getvalue()
    assert "last keep 12:05 min and 0 trainings ago" in console.file.getvalue()


def test_at_80_columns_descriptions_have_room_and_no_fact_is_cut():
    text = draw(MIXED, [Running(number=10, stage="train", seconds=3.2)], width=80)

    assert "last keep 0 trainings ago; kept 3, failed 4 of 9; 0.10 USD" in text
    assert row_of(text, 9).split()[1:3] == ["1.8000", "-0.0500"]
    assert "MATRIX_LR -> 0.029" in row_of(text, 9)
    assert "operator" not in text


def test_a_terminal_without_unicode_gets_letters():
    class Ascii(io.StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), width=80)
    console.print(live_view(MIXED, make_summary(MIXED), (), BUDGET, wall_seconds=1.0, height=40))

    best = next(line for line in console.file.getvalue().splitlines() if line.startswith("best"))
    assert best.isascii()


def test_lines_that_stay_have_the_time_of_day():
    out = io.StringIO()
    with Display(BUDGET, Console(file=out, highlight=False), stamp=lambda: "23:59:01") as display:
        display.message("something happened")
        play(display, MIXED)

    lines = out.getvalue().splitlines()
    assert lines[0] == "23:59:01 something happened"
    assert all(line.startswith("23:59:01 #00") for line in lines[1:])


def test_a_narrow_terminal_cuts_the_description_and_wraps_nothing():
    population = make_population(2.0, 1.9)
    wide, narrow = draw(population), draw(population, width=80)

    assert len(narrow.splitlines()) == len(wide.splitlines())
    assert max(len(line) for line in narrow.splitlines()) <= 80


def test_the_budget_says_what_is_used_and_what_is_left():
    text = draw(MIXED, wall_seconds=150.0)

    assert "8/16" in text
    assert "2:30 min of 30:00 min" in text
    assert "0.10/2" in text
    assert "about 1:30 min" in text
    assert "busy 90 %" in text


@pytest.mark.parametrize("budget", [Budget(trainings=5), Budget(hours=1.0), Budget(usd=1.0)])
@pytest.mark.parametrize("population", [Population(), make_population(Status.PENDING), make_population(Status.CRASHED)])
def test_a_search_that_has_hardly_begun_can_be_drawn(budget, population):
    assert "left" in draw(population, budget=budget, wall_seconds=0.0)


def test_on_a_terminal_the_display_is_redrawn_as_time_passes():
    display, out = terminal_display()
    with display:
        play(display, MIXED)
        for seconds in (1.0, 2.0, 17.0):
            display.tick([Running(number=10, stage="train", seconds=seconds)])
        last = Text.from_ansi(out.getvalue()).plain.rpartition("trial  operator")[2]
        assert row_of(last, 10).split()[3:5] == ["17", "train"]
        display.message("something happened")

    assert "something happened" in out.getvalue()


def test_the_clock_of_the_display_goes_on_between_verdicts():
    display, out = terminal_display()
    with display:
        play(display, MIXED)
        for seconds in (1.0, 31.0):
            display.tick([Running(number=10, stage="train", seconds=seconds)])

    assert "2:30 min of 30:00 min" in out.getvalue()


@pytest.mark.parametrize("make_display", [plain_display, terminal_display])
def test_the_end_says_what_came_of_it_and_where_it_is(tmp_path, make_display):
    run = RunDirectory(tmp_path)
    run.write_trial(MIXED.trials[9], MIXED)
    display, out = make_display()
    with display:
        play(display, MIXED)
        display.finish(MIXED, make_summary(MIXED), run, "mlflow ui --here")

    text = out.getvalue()
    coloured = make_display is terminal_display
    assert (ESCAPE in text) == coloured
    assert "MATRIX_LR = 0.029" in text
    assert "baseline 2.0000" in text
    assert "gain 0.2000" in text
    assert "finished: budget.trainings=12 reached" in text
    assert "slots busy 90 % of" in text
    assert "the best program" in text
    assert "report.md" not in text
    assert text.rstrip().endswith("mlflow ui --here")


@pytest.mark.parametrize(
    ("described", "on"), [({"corpus": {}}, "on fresh seeds and the holdout"), ({"checkout": {}}, "on fresh seeds")]
)
def test_a_command_at_the_end_is_one_line_however_narrow_the_terminal(tmp_path, described, on):
    display, out = terminal_display(width=40)
    run = RunDirectory(tmp_path / "a folder with a long name")
    run.create()
    run.environment.write_text(json.dumps(described))
    display.finish(MIXED, make_summary(MIXED), run, "python -m search.ui and a long argument of it")

    lines = Text.from_ansi(out.getvalue()).plain.splitlines()
    said = f"whether the gain holds {on}: the best of many looks better than it is"
    assert f"{command('search.final', str(run.root))}  {said}" in lines
    assert lines[-1] == "python -m search.ui and a long argument of it"


@pytest.mark.parametrize(
    ("population", "said"),
    [(make_population(2.0, 1.9), "(trial #1, MATRIX_LR"), (MIXED, "(trial #9, the last of 3 steps: MATRIX_LR")],
)
def test_the_whole_gain_is_not_said_to_be_that_of_the_last_step(tmp_path, population, said):
    display, out = plain_display()
    display.finish(population, make_summary(population), RunDirectory(tmp_path), None)

    assert said in out.getvalue()


def test_the_end_of_a_search_without_a_score():
    display, out = plain_display()
    population = make_population(Status.CRASHED)
    with display:
        summary = make_summary(population, status="stopped", stop_reason="the seed program does not score")
        display.finish(population, summary, RunDirectory(Path("nowhere")), None)

    assert "no result" in out.getvalue()
    assert "stopped: the seed program does not score" in out.getvalue()


def test_an_error_takes_the_live_part_down():
    display, out = terminal_display()
    with pytest.raises(RuntimeError), display:
        play(display, MIXED)
        raise RuntimeError
    assert out.getvalue().rstrip("\n").endswith(f"{ESCAPE}[?25h")  # the cursor is back


def test_importing_the_display_is_cheap():
    heavy = ("torch", "mlflow", "litellm", "matplotlib", "optuna", "jinja2")
    code = f"import sys, search.views.console; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_end_and_the_head_pass_on_nothing_a_terminal_would_obey(tmp_path):
    hostile = f"x{ESCAPE}[2J\x07"
    child = make_trial(1, 1.9, status=Status.KEEP)
    child = replace(child, mutation=replace(child.mutation, operator=hostile, program=Program(f"A = '{hostile}'\n")))
    population = Population((make_trial(0, 2.0, status=Status.BASELINE), child))
    summary = make_summary(population, name=hostile, stop_reason=hostile)
    display, out = plain_display()
    display.finish(population, summary, RunDirectory(tmp_path), None)
    console = Console(file=io.StringIO(), width=130)
    console.print(live_view(population, summary, (), BUDGET, wall_seconds=0.0, height=40))

    assert not any(char in out.getvalue() + console.file.getvalue() for char in (ESCAPE, "\x07"))


def test_a_long_diff_is_cut_with_a_pointer_to_the_whole(tmp_path):
    child = make_trial(1, 1.9, status=Status.KEEP)
    long = Program("".join(f"A{index} = {index}\n" for index in range(500)))
    population = Population(
        (make_trial(0, 2.0, status=Status.BASELINE), replace(child, mutation=replace(child.mutation, program=long)))
    )
    display, out = plain_display()
    display.finish(population, make_summary(population), RunDirectory(tmp_path), None)

    assert "more lines: see report.md" in out.getvalue()
    assert "A499" not in out.getvalue()


def test_a_search_that_overruns_its_time_has_none_left():
    assert "about 0 s" in draw(MIXED, wall_seconds=9999.0)


def test_a_file_says_once_a_minute_what_is_under_way() -> None:
    display, out = plain_display()
    for second in range(0, 150, 5):
        train = Running(number=7, stage="train", seconds=float(second), loss="loss 3.214 (+0.051)")
        display.tick([train, Running(number=8, stage="propose", seconds=2.0)])
        if second == 30:
            display.message("a message")

    early, said, late = out.getvalue().splitlines()
    assert early == "under way: #0007 train 5 s, loss 3.214 (+0.051); #0008 propose 2 s"
    assert said == "a message"
    assert late == "under way: #0007 train 1:30 min, loss 3.214 (+0.051); #0008 propose 2 s"


def test_a_file_says_within_five_seconds_what_a_search_waits_for_and_of_later_trainings_only_once_a_minute() -> None:
    display, out = plain_display()
    for number, stage in ((0, "train"), (1, "pre-flight"), (1, "train"), (2, "propose")):
        for second in range(11):
            display.tick([Running(number=number, stage=stage, seconds=float(second))])

    assert out.getvalue().splitlines() == [
        "under way: #0000 train 4 s",
        "under way: #0001 pre-flight 4 s",
        "under way: #0002 propose 4 s",  # and ten seconds of training before it were silent
    ]
