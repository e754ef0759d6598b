"""What a prompt tells about the training of a program: figures computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from operators.prompts.measured import measured
from operators.trial import Status, Trial
from target.evaluation import Evaluation, Outcome
from target.training_statistics import GroupStatistics, TrainingStatistics
from tests.search.builders import make_trial

GROUP = GroupStatistics(n_values=32_768, weight_rms=0.2, gradient_rms=0.00207, update_rms=0.003)
STATISTICS = TrainingStatistics(
    steps=101,
    first_step_seconds=2.0,
    last_step_seconds=10.0,
    batch_seconds=0.5,
    optimizer_seconds=2.0,
    groups={
        "gate": replace(GROUP, n_values=1),
        "blocks.*.scale": replace(GROUP, n_values=12),
        "blocks.*.up.weight": replace(GROUP, n_values=7, weight_rms=0.0),
        "head.weight": GROUP,
    },
    scalars={"gate": (7.0,), **{f"blocks.{index}.scale": (index / 3,) for index in range(12)}},
)


def trained(statistics: TrainingStatistics | None = STATISTICS, losses: tuple[float, ...] = ()) -> Trial:
    curve = tuple((float(index), loss) for index, loss in enumerate(losses))
    run = Evaluation(outcome=Outcome.OK, seed=0, score=2.0, curve=curve, statistics=statistics)
    return replace(make_trial(0, 2.0, status=Status.BASELINE), evaluations=(run,))


def test_times_then_losses_then_learned_values_then_groups_the_largest_first() -> None:
    # the last third of 18 losses: the line falls by 17.6 / 175 a step, and the losses lie 0.01 around it
    losses = (9.0,) * 12 + (3.01, 2.89, 2.79, 2.71, 2.61, 2.49)

    assert measured(trained(losses=losses), 99) == [
        "101 optimiser steps: the first ended after 2.0 s, the others took 80.0 ms each; 5.0% of the time drew "
        "batches and 20.0% went into the steps of optimisers",
        "the last 6 losses changed by -0.503 nats, and scattered by 0.010 around a line",
        "learned values of gate: 7",
        "learned values of blocks.*.scale: 0, 0.333, 0.667, 1, 1.33, 1.67, 2, 2.33 and 4 more",
        "head.weight, 32,768 values: weights 0.2, gradient 0.0021, update 0.003 (1.50% of them)",
        "blocks.*.up.weight, 7 values: weights 0, gradient 0.0021, update 0.003",
    ]


def test_the_first_lines_are_kept() -> None:
    assert len(measured(trained(), 2)) == 2
    assert measured(trained(), 2) == measured(trained(), 99)[:2]
    assert measured(trained(), 0) == []


@pytest.mark.parametrize(
    "trial",
    [
        replace(make_trial(0, 2.0, status=Status.BASELINE), evaluations=()),
        trained(None),
        trained(None, losses=(3.0, 2.0, 1.0)),
        trained(replace(STATISTICS, steps=1, groups={}, scalars={})),
    ],
    ids=["no training", "no statistics", "a short curve", "one step"],
)
def test_what_was_not_measured_is_not_told(trial: Trial) -> None:
    assert measured(trial, 99) == []


def test_on_a_gpu_nothing_is_said_about_the_time_of_optimisers() -> None:
    (line, *_) = measured(trained(replace(STATISTICS, optimizer_seconds=None)), 99)

    assert line.endswith("; 5.0% of the time drew batches")
