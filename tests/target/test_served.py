"""What a model server may use: as much as its start and the passes it was asked for need."""

import dataclasses

import pytest

from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.process.clock import Limits
from target.program import Program
from target.scoring.served import ServingLimits
from tests.target.candidates import HONEST, in_forward

HOLDINGS = Limits(cpu_seconds=None, wall_seconds=60)
CPU = ServingLimits(start_seconds=1, pass_seconds=0.5, clock="cpu", stall_factor=6, holdings=HOLDINGS)
WALL = dataclasses.replace(CPU, clock="wall")


@pytest.mark.parametrize(
    ("limits", "passes", "cpu_seconds", "waited_seconds", "said"),
    [
        (CPU, 0, 0.9, 5.9, None),
        (CPU, 0, 1.1, 1.1, "1.1 CPU seconds used, 1.0 are allowed: 1 for the start and 0.5 for each forward pass"),
        (CPU, 4, 2.9, 17.9, None),
        (CPU, 4, 3.1, 3.1, "3.1 CPU seconds used, 3.0 are allowed"),
        (CPU, 4, 0.1, 18.1, "18.1 seconds passed, 18.0 are allowed"),
        (WALL, 4, 60.0, 2.9, None),
        (WALL, 4, 0.1, 3.1, "3.1 seconds passed, 3.0 are allowed"),
    ],
)
def test_a_server_is_stopped_by_what_it_has_used_for_the_passes_it_was_asked_for(
    limits, passes, cpu_seconds, waited_seconds, said
):
    excess = limits.exceeded(passes, cpu_seconds, waited_seconds)

    assert (excess is None) is (said is None)
    if excess:
        assert excess.outcome is Outcome.TIMED_OUT
        assert excess.words.startswith(said)


def test_on_a_wall_clock_the_seconds_of_waiting_count(spec, corpus, tmp_path, log):
    scoring = dataclasses.replace(spec.scoring, start_seconds=8, pass_seconds=0.01)
    wall = dataclasses.replace(spec, clock="wall", train_seconds=20, scoring=scoring)
    asleep = "self.training or time.sleep(60)"
    with Evaluator(wall, corpus, scratch=tmp_path) as evaluator:
        honest, slept = (evaluator.evaluate(Program(source), 1, log) for source in (HONEST, in_forward(asleep)))

    assert honest.outcome is Outcome.OK, honest.detail
    assert slept.outcome is Outcome.TIMED_OUT
    assert "seconds passed, 8.0 are allowed" in slept.detail


def test_threads_and_children_of_a_server_count(spec, corpus, tmp_path, log):
    forks = in_forward(
        """if not self.training and not hasattr(self, 'child'):
            self.child = os.fork()
            while self.child == 0: pass
            time.sleep(3)"""
    )
    with Evaluator(spec, corpus, scratch=tmp_path) as evaluator:
        found = evaluator.evaluate(Program(forks), 1, log)

    assert found.outcome is Outcome.TIMED_OUT, found.detail
    assert "CPU seconds used" in found.detail
