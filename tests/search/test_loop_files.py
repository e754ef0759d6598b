"""What a search writes: a log for each training, all trainings of a trial, and no text that a file cannot hold."""

from __future__ import annotations

import json

from operators.population import Population
from operators.trial import Mutation, Proposal
from target.program import Program
from tests.search.bench import Bench, check


def test_every_training_has_a_log_of_its_own_and_is_told(bench: Bench) -> None:
    bench.search(trainings=20)

    trials = bench.ledger.population.trials
    logs = {trial.number: len(list(bench.run.trial(trial.number).glob("run*.log"))) for trial in trials}
    assert logs == {trial.number: trial.trainings for trial in trials}
    told = [(trial.number, run.seed) for trial in trials for run in trial.evaluations]
    assert sorted(bench.observer.measurements) == sorted(told)


class Surrogate:
    """Writes what no file can hold, into the program or into the words about it."""

    name = "surrogate"

    def __init__(self, source: str) -> None:
        self._source = source

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        program = Program(self._source.replace("SEED", str(proposal.seed)))
        return Mutation(program=program, operator="surrogate", description="\udc80 \ud800", rationale="\ud800")


def test_a_program_that_is_no_text_is_not_built(bench: Bench) -> None:
    bench.operator = Surrogate("A = '\ud800', SEED\n")
    bench.settings = {"max_failures": 3}
    summary = bench.search()

    assert summary.outcomes["not_built"] >= 3
    assert "lone surrogate" in bench.ledger.population.trials[1].detail
    check(bench, summary)


def test_words_that_no_file_can_hold_are_escaped(bench: Bench) -> None:
    bench.operator = Surrogate("LR = 0.0SEED\nDEPTH = 4\n")
    summary = bench.search(trainings=5)

    assert "\\ud800" in bench.run.results.read_text()
    check(bench, summary)


def test_a_champion_that_is_measured_again_has_it_in_its_folder(bench: Bench) -> None:
    bench.search(trainings=40)
    for trial in bench.ledger.population.decided:
        result = json.loads((bench.run.trial(trial.number) / "result.json").read_text())
        assert len(result["evaluations"]) == len(trial.evaluations)


def test_every_training_keeps_its_own_log(bench: Bench) -> None:
    bench.search(trainings=12, interrupt_after=3)
    bench.search(trainings=12)
    for trial in bench.ledger.population.decided:
        logs = {path.name for path in bench.run.trial(trial.number).glob("run*.log")}
        n_trained = sum(run.trained for run in trial.evaluations)
        assert {"run.log" if index == 0 else f"run-{index + 1}.log" for index in range(n_trained)} == logs
