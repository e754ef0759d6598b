"""The ledger and its copy as Optuna studies: what `optuna-dashboard` reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from operators.trial import Mutation, Proposal
from search.errors import UserError
from search.export import main
from search.runs.ledger import Ledger
from search.runs.optuna_study import distributions_of, write_study
from search.runs.rundir import RunDirectory
from target.program import Program
from tests.search.builders import MIXED, SEED_SOURCE, make_summary


def study_in(file: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(file)))
    return optuna.load_study(study_name=None, storage=storage)


def test_each_constant_has_one_range_which_holds_its_knob_and_all_its_values() -> None:
    one = "A = 4  # knob: 2..24 int\nB = 0.1  # knob: 1e-4..1 log\nC = 'relu'  # knob: relu | gelu\nD = True\nE = 1.5\n"
    other = "A = 40  # knob: 2..24 int\nB = 0.2  # knob: 1e-4..1 log\nC = 'silu'  # knob: relu | gelu\nE = 2\n"

    assert distributions_of([Program(one), Program(other), Program("not python (")]) == {
        "A": IntDistribution(2, 40),
        "B": FloatDistribution(1e-4, 1, log=True),
        "C": CategoricalDistribution(["relu", "gelu", "silu"]),
        "D": CategoricalDistribution([True]),
        "E": FloatDistribution(1.5, 2),
    }


def test_the_ledger_has_the_constants_of_the_seed_program_as_parameters_and_of_no_other(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "demo")
    run.create()
    ledger = Ledger(run)
    for number, parents in enumerate([(), (0,)]):
        ledger.propose(Proposal(parents=parents, seed=number))
        program = Program(SEED_SOURCE.replace("0.02", f"0.0{number + 2}"))
        ledger.build(number, Mutation(operator="x", program=program, description="y"))

    first, second = study_in(run.journal).trials

    assert first.params == {"DEPTH": 4, "MATRIX_LR": 0.02}
    assert first.distributions["MATRIX_LR"] == FloatDistribution(1e-4, 1, log=True)
    assert second.params == {}
    assert Ledger(run).population == ledger.population


def test_a_copy_has_all_decided_trials_with_parameters_scores_and_curves(tmp_path: Path) -> None:
    assert write_study(MIXED, "demo", tmp_path / "copy.log") == 10

    study = study_in(tmp_path / "copy.log")

    assert [trial.state.name for trial in study.trials] == [
        *("COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "FAIL", "COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"),
    ]
    kept = study.trials[5]
    assert kept.value == 1.85
    assert kept.params == {"DEPTH": 4, "MATRIX_LR": 0.025}
    assert kept.user_attrs["status"] == "keep"
    assert kept.user_attrs["parents"] == "1"
    assert kept.intermediate_values[1900] == MIXED.trials[5].evaluations[0].curve[-1][1]
    assert study.trials[4].params == {}  # it was not built
    assert set(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())) == {"DEPTH", "MATRIX_LR"}


def test_the_command_writes_a_new_file_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "demo")
    run.create()
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(), seed=0))
    run.write_summary(replace(make_summary(MIXED), name="demo"))
    file = tmp_path / "a copy.log"

    assert main([str(run.root), "--optuna", str(file)]) == 0

    assert capsys.readouterr().out == f"0 trials of {run.root}: optuna-dashboard '{file}'\n"
    assert main([str(run.root), "--optuna", str(file)]) == 2
    assert "is there already: give the name of a new file" in capsys.readouterr().err
    with pytest.raises(UserError, match="give a file that can be written"):
        write_study(MIXED, "demo", tmp_path / "none" / "copy.log")
    with pytest.raises(SystemExit):
        main([str(run.root)])
    assert "give --git DIR and --branch NAME, or --optuna FILE" in capsys.readouterr().err
