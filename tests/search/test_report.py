"""report.md and the command that writes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Status
from search.report import render_report
from search.report.__main__ import main
from search.runs.finished import read_summary
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed
from search.runs.rundir import RunDirectory
from target.durations import duration
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial

ROOT = Path(__file__).parents[2]


def report(population, tmp_path, **summary):
    return render_report(population, make_summary(population, **summary), RunDirectory(tmp_path))


def table_rows(text):
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| #")]


def record(run, population):
    """Write a population into the ledger of a run, as a search does."""
    ledger = Ledger(run)
    for trial in population.trials:
        ledger.propose(trial.proposal)
        if trial.mutation:
            ledger.build(trial.number, trial.mutation)
        for evaluation in trial.evaluations:
            ledger.evaluate(trial.number, evaluation)
        if trial.decided is not None:
            ledger.decide(trial.number, trial.status, detail=trial.detail, elapsed=Elapsed())


def test_the_result_comes_first(tmp_path):
    assert "**val_bpb 2.0000 → 1.8000**" in report(MIXED, tmp_path)
    assert "difference -0.2000." in report(MIXED, tmp_path)


def test_the_chain_from_the_seed_to_the_best_has_each_gain(tmp_path):
    rows = [[cell.strip() for cell in (*row[:5], row[6])] for row in table_rows(report(MIXED, tmp_path))]

    assert rows == [
        ["#0", "baseline", "2.0000", "1", "", ""],
        ["#1", "keep", "1.9000", "1", "-0.1000", "-0.1000"],
        ["#5", "keep", "1.8500", "1", "-0.0500", "-0.1500"],
        ["#9", "keep", "1.8000", "1", "-0.0500", "-0.2000"],
    ]


def test_constants_and_diff_lead_from_the_seed_to_the_best(tmp_path):
    text = report(MIXED, tmp_path)

    assert "| `MATRIX_LR` | `0.02` | `0.029` |" in text
    assert "DEPTH` |" not in text
    assert "+MATRIX_LR = 0.029" in text
    assert "-MATRIX_LR = 0.020" in text


def test_a_comparison_by_way_of_others_is_said(tmp_path):
    best = replace(MIXED.trials[9], evaluations=(make_evaluation(1.8, seed=5),))
    text = report(MIXED.with_trial(best), tmp_path)

    assert "share no training seed" in text


@pytest.mark.parametrize(
    ("population", "said"),
    [
        (Population(), "**No result**"),
        (make_population(Status.OUT_OF_MEMORY), "the seed program has no score (out of memory); trials/0000 has its"),
        (make_population(2.0, 2.1, Status.CRASHED), "**No improvement**"),
    ],
)
def test_a_search_without_a_gain_says_so(tmp_path, population, said):
    text = report(population, tmp_path)

    assert said in text
    assert "```" not in text
    assert "looks better than it is" not in text
    assert "There is no holdout split here" in text


def test_a_holdout_that_was_not_used_is_named(tmp_path):
    (tmp_path / "environment.json").write_text('{"corpus": {"name": "packages"}}')

    assert "holdout split has not been used" in report(MIXED, tmp_path)


def test_what_models_write_cannot_break_the_page(tmp_path):
    hostile = "a | b\n# heading `code` <script> [x](http://y) ![i](z)"
    child = make_trial(1, 1.9, status=Status.KEEP)
    program = Program('X = "a|b`c"\n# ```\n# # not a heading\n')
    child = replace(child, mutation=replace(child.mutation, description=hostile, program=program))
    text = report(Population((make_trial(0, 2.0, status=Status.BASELINE), child)), tmp_path, name=hostile)

    assert {len(row) for row in table_rows(text)} == {9}
    assert "\n# heading" not in text
    assert "\\<script>" in text
    assert "````diff" in text


def test_only_files_that_exist_are_named(tmp_path):
    (tmp_path / "results.tsv").write_text("")
    text = report(MIXED, tmp_path)

    assert "results.tsv" in text
    assert "progress.png" not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (725, "12:05 min"), (11_220, "3:07 h")]
)
def test_times_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_the_command_writes_and_prints_the_report_of_a_folder(tmp_path):
    run = RunDirectory(tmp_path / "demo")
    run.create()
    population = make_population(2.0, 1.9, Status.CRASHED, 1.8)
    record(run, population)
    run.summary.write_text(json.dumps(make_summary(population).to_json()))

    done = subprocess.run(
        [sys.executable, "-m", "search.report", str(run.root)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert "**val_bpb 2.0000 → 1.8000**" in done.stdout
    assert (run.root / "report.md").read_text() == done.stdout
    assert read_summary(run) == make_summary(population)


def test_a_report_that_cannot_be_written_names_the_file(tmp_path, capsys):
    run = RunDirectory(tmp_path / "demo")
    run.create()
    record(run, MIXED)
    run.summary.write_text(json.dumps(make_summary(MIXED).to_json()))
    (run.root / "report.md").mkdir()

    assert main([str(run.root)]) == 2
    assert capsys.readouterr().err == f"error: {run.root / 'report.md'}: Is a directory\n"


def test_a_folder_without_a_search_gets_one_clear_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "give the folder of a search" in capsys.readouterr().err

    (tmp_path / "summary.json").write_text('{"name": "x"}')
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "does not hold the summary of a search" in said
    assert "if another version of Graft wrote it, resume the search with this one" in said

    (tmp_path / "summary.json").write_text(json.dumps(make_summary(MIXED).to_json()))
    assert main([str(tmp_path)]) == 2
    assert "holds no search" in capsys.readouterr().err


def test_a_constant_that_is_gone_has_no_value(tmp_path):
    best = MIXED.trials[9]
    program = type(best.program)(best.program.source.replace("DEPTH = 4", "LAYERS = 4"))
    text = report(MIXED.with_trial(replace(best, mutation=replace(best.mutation, program=program))), tmp_path)

    assert "| `DEPTH` | `4` |  |" in text
    assert "| `LAYERS` |  | `4` |" in text
