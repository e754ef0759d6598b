"""A program beyond a limit of the user is rejected with the figure, and never becomes the champion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from operators.trial import Status
from search.errors import SeedProgramError, UserError
from search.gates import Gates
from search.runs.reading import read_population
from target.evaluation import Outcome
from target.program import Program
from tests.search.bench import SEED_PROGRAM, Bench
from tests.search.command import QUIET, assert_clean_failure, run
from tests.search.scripted import ScriptedExecutor


class Measuring(ScriptedExecutor):
    """Measures ten parameters and a gigabyte of memory for each block."""

    def evaluate(self, program: Program, seed: int, log, **flags):
        future = super().evaluate(program, seed, log, **flags)
        own, result = self._open.pop()
        depth = int(program.constants["DEPTH"])
        measured = replace(result, n_parameters=10 * depth, peak_memory_bytes=depth * 10**9)
        self._open.append((own, measured))
        return future


def deeper_is_better(program: Program, seed: int) -> float | None:
    return 2.0 - int(program.constants["DEPTH"]) / 100


@pytest.mark.parametrize(
    ("gates", "figure"),
    [
        (Gates(n_parameters=60), "n_parameters is {parameters}, and gates.n_parameters=60"),
        (Gates(peak_memory_gb=6), "peak_memory_gb is {depth}, and gates.peak_memory_gb=6"),
    ],
)
def test_the_best_program_within_the_limit_wins(tmp_path, gates, figure):
    bench = Bench(tmp_path, score=deeper_is_better, settings={"gates": gates}, make_executor=Measuring)

    bench.search(trainings=40)

    trials = bench.ledger.population.trials
    depths = {trial.number: int(trial.program.constants["DEPTH"]) for trial in trials if trial.program}
    rejected = [trial for trial in trials if trial.status is Status.REJECTED]
    assert rejected
    assert all(depths[trial.number] > 6 for trial in rejected)
    assert all(len(trial.evaluations) == 1 for trial in rejected), "a program beyond a limit is not trained again"
    assert [trial.detail for trial in rejected] == [
        figure.format(parameters=10 * depths[trial.number], depth=depths[trial.number]) for trial in rejected
    ]
    best = bench.ledger.population.champion
    assert depths[best.number] <= 6
    assert not {trial.number for trial in rejected} & bench.ledger.population.scores.keys()
    resumed = read_population(bench.run)
    assert [trial.status for trial in resumed.trials] == [trial.status for trial in trials]


def test_a_program_that_is_too_long_is_not_trained(tmp_path):
    bench = Bench(tmp_path, score=deeper_is_better, settings={"gates": Gates(source_lines=1)})

    with pytest.raises(SeedProgramError, match=r"rejected: its source has 2 lines, and gates\.source_lines=1"):
        bench.search()
    assert bench.executor.trained == []


def test_a_figure_that_is_not_measured_is_said_with_the_baseline(tmp_path):
    bench = Bench(tmp_path, score=deeper_is_better, settings={"gates": Gates(n_parameters=60)})

    with pytest.raises(SeedProgramError, match="this target does not measure n_parameters; give gates"):
        bench.search()


def test_a_seed_program_beyond_a_limit_is_one_line_of_the_command(tmp_path):
    done = run(tmp_path, "name=g", "target=landscape", "gates.source_lines=3", "budget.trainings=3", QUIET)

    assert_clean_failure(done, "gates.source_lines=3; shorten it")
    assert done.returncode == 1


def test_limits_are_told_to_authors_and_must_be_positive():
    gates = Gates(source_lines=450, n_parameters=5e7, peak_memory_gb=40)

    assert gates.sentences == (
        "The source may have at most 450 lines.",
        "The model may have at most 5e+07 parameters.",
        "A training may use at most 40 GB of memory at its peak.",
    )
    assert Gates().sentences == ()
    assert Gates().check_source(SEED_PROGRAM, seed=0) is None
    refused = Gates(source_lines=1).check_source(SEED_PROGRAM, seed=7)
    assert (refused.outcome, refused.trained, refused.seed) == (Outcome.REJECTED, False, 7)
    with pytest.raises(UserError, match=r"gates\.n_parameters must be positive, got -1"):
        Gates(n_parameters=-1)


CHECK = "grep -q 'DEPTH = [1-6] ' || { echo deep; echo too deep; exit 3; }"


def test_a_command_judges_before_the_preflight(tmp_path):
    bench = Bench(tmp_path, score=deeper_is_better, settings={"gates": Gates(command=CHECK)})

    bench.search(trainings=20)

    trials = [trial for trial in bench.ledger.population.trials if trial.program]
    rejected = [trial for trial in trials if trial.status is Status.REJECTED]
    assert rejected
    assert all((trial in rejected) == (int(trial.program.constants["DEPTH"]) > 6) for trial in trials if trial.decided)
    assert {trial.detail for trial in rejected} == {"gates.command failed with status 3: too deep"}
    assert not any(trial.trainings for trial in rejected)
    assert (bench.run.trial(rejected[0].number) / "gate.log").read_text() == "deep\ntoo deep\n"


@pytest.mark.parametrize(
    ("gates", "reason"),
    [
        (Gates(command="nosuchcommand"), "failed with status 127: .*nosuchcommand"),
        (Gates(command="sleep 600", seconds=0.2), r"did not end within gates\.seconds=0\.2 and was stopped"),
        (Gates(command="exit 1"), "failed with status 1$"),
    ],
)
def test_a_command_that_judges_nothing_ends_the_search_at_its_seed_program(tmp_path, gates, reason):
    bench = Bench(tmp_path, settings={"gates": gates})

    with pytest.raises(SeedProgramError, match=f"gates.command {reason}".rstrip("$")):
        bench.search()
    assert not bench.executor.trained
