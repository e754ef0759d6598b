"""The contract of every executor in conf/executor; a new one is found by its YAML file."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from target.evaluation import Outcome
from target.program import Program
from target.stopping import Check, StopRule
from target.trained import TrainedKind
from tests.target.candidates import HONEST, in_main
from tests.target.conftest import corpus, patient_spec, spec  # noqa: F401 -- fixtures

CONF = Path(__file__).parents[2] / "conf" / "executor"
EXECUTORS = sorted(path.stem for path in CONF.glob("*.yaml"))
ALONE = {
    "local": {"workers": 2},
    "ray": {"address": "local", "workers": 2},
    "slurm": {"cluster": "local", "workers": 2},
}  # without a cluster; on a machine with many cores too
WAIT_SECONDS = 300


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request, patient_spec, corpus):  # noqa: F811
    settings = OmegaConf.merge(OmegaConf.load(CONF / f"{request.param}.yaml"), ALONE.get(request.param, {}))
    make = instantiate(settings)
    executor = make(
        TrainedKind(replace(patient_spec, sandbox="off"), corpus=corpus)
    )  # candidates meet through files in one test
    executor.start()
    yield executor
    executor.close()
    executor.close()


def test_a_program_that_passes_scores(executor, tmp_path):
    program = Program(HONEST)

    assert executor.preflight(program, tmp_path / "a.log").result(WAIT_SECONDS) is None
    found = executor.evaluate(program, 3, tmp_path / "b.log").result(WAIT_SECONDS)

    assert (found.outcome, found.seed) == (Outcome.OK, 3)
    assert found.isolation
    assert found.holdout_bpb is None


def test_the_holdout_is_scored_when_it_is_asked_for(executor, tmp_path):
    found = executor.evaluate(Program(HONEST), 3, tmp_path / "a.log", holdout=True).result(WAIT_SECONDS)

    assert found.holdout_bpb > 1


def test_a_training_is_stopped_by_its_rule(executor, tmp_path):
    loop = "while prepare.progress() < 0.7:\n    prepare.report(9.0)\n    sum(range(50_000))"
    rule = StopRule(checks=(Check(fraction=0.3, limit_nats=8.0),))
    found = executor.evaluate(Program(in_main(loop)), 3, tmp_path / "a.log", stop=rule).result(WAIT_SECONDS)

    assert (found.outcome, found.failed_check.limit_nats) == (Outcome.PRUNED, 8.0)


def test_a_program_that_is_refused_is_data(executor, tmp_path):
    refused = executor.preflight(Program("x = 1"), tmp_path / "a.log").result(WAIT_SECONDS)

    assert (refused.outcome, refused.trained) == (Outcome.REJECTED, False)


def test_as_many_as_there_are_slots_run_side_by_side_and_one_more_waits_and_no_answers_are_mixed_up(executor, tmp_path):
    """Each waits for a file that another one makes, but for the last, which crashes: that is data too."""
    assert executor.slots > 1
    sources = [
        in_main(
            f"import pathlib\nhere = pathlib.Path({str(tmp_path)!r})\n(here / '{number}').touch()\n"
            f"while not (here / '{(number + 1) % executor.slots}').exists(): time.sleep(0.01)"
        )
        for number in range(executor.slots)
    ]
    crashes = in_main("print('hello')\nx = 1 / 0")
    futures = [
        executor.evaluate(Program(source), number, tmp_path / f"{number}.log")
        for number, source in enumerate([*sources, crashes])
    ]

    *found, crashed = [future.result(WAIT_SECONDS) for future in futures]
    assert [(each.outcome, each.seed) for each in found] == [(Outcome.OK, number) for number in range(executor.slots)]
    assert (crashed.outcome, crashed.seed, crashed.trained) == (Outcome.CRASHED, executor.slots, True)
    assert "ZeroDivisionError" in crashed.detail
    assert "hello" in (tmp_path / f"{executor.slots}.log").read_text()
