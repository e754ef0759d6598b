"""Real trainings that fail a check, or do not."""

import pytest

from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.stopping import Check, StopRule
from tests.target.candidates import HONEST, in_main

LOSS = 9.0
REPORTS = f"""
while prepare.progress() < 0.7:
    prepare.report({LOSS})
    sum(range(50_000))
"""
SLOW = Program(in_main(REPORTS))


def rule(limit_nats, *, audit=False):
    return StopRule(checks=(Check(fraction=0.3, limit_nats=limit_nats),), audit=audit)


def test_a_training_is_stopped_when_its_loss_is_above_the_limit(evaluator, log):
    found = evaluator.evaluate(SLOW, 1, log, stop=rule(8.0))

    assert found.outcome is Outcome.PRUNED
    assert found.score is None
    assert found.trained
    assert found.detail == "stopped at 30% of its time: loss 9.000 nats, at most 8.000"
    assert found.failed_check.loss_nats == pytest.approx(LOSS)
    assert {loss for _, loss in found.curve} == {LOSS}
    assert Evaluation.from_json(found.to_record()) == found


def test_an_audit_runs_to_its_end_and_notes_the_check(evaluator, log):
    found = evaluator.evaluate(SLOW, 1, log, stop=rule(8.0, audit=True))

    assert found.outcome is Outcome.OK
    assert found.failed_check.limit_nats == 8.0


def test_a_training_below_the_limit_runs_to_its_end(evaluator, log):
    found = evaluator.evaluate(SLOW, 1, log, stop=rule(10.0))

    assert (found.outcome, found.failed_check) == (Outcome.OK, None)


def test_a_training_without_a_curve_by_then_cannot_be_judged(evaluator, log):
    found = evaluator.evaluate(Program(HONEST), 1, log, stop=rule(0.0))

    assert (found.outcome, found.failed_check) == (Outcome.OK, None)
