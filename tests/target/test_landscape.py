from __future__ import annotations

import statistics

import pytest

from target.evaluation import Outcome
from target.simulated.landscape import Landscape

SEEDS = (0, 1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_begins_at_the_public_baseline_and_can_gain_what_was_gained(seed: int) -> None:
    landscape = Landscape(seed=seed)
    program = landscape.seed_program()

    assert landscape.truth(program) == pytest.approx(0.9979)
    assert landscape.optimum == pytest.approx(0.9679)
    values = [landscape.evaluate(program, each).score for each in range(300)]
    assert statistics.fmean(values) == pytest.approx(0.9979, abs=1e-4)
    assert statistics.stdev(values) == pytest.approx(3e-4, rel=0.2)


def test_the_seed_decides() -> None:
    changed = Landscape(seed=0).seed_program().with_constants({"MATRIX_LR": 0.02})

    assert Landscape(seed=0).truth(changed) == Landscape(seed=0).truth(changed)
    assert Landscape(seed=0).truth(changed) != Landscape(seed=1).truth(changed)


def test_switches_interact_with_each_other_and_with_constants() -> None:
    landscape, program = Landscape(seed=0), Landscape(seed=0).seed_program()
    turns = [("    return relu2(x)", "    return gelu(x)"), ("    return full(q, k, v)", "    return grouped(q, k, v)")]
    one, two = (type(program)(program.source.replace(*turn)) for turn in turns)
    both = type(program)(one.source.replace(*turns[1]))
    start = landscape.truth(program)
    alone = (landscape.truth(one) - start) + (landscape.truth(two) - start)

    assert landscape.truth(both) - start != pytest.approx(alone, abs=1e-5)
    moved = [landscape.truth(each.with_constants({"HEAD_LR": 0.01})) - landscape.truth(each) for each in (program, one)]
    assert moved[0] != pytest.approx(moved[1], abs=1e-5)


def test_failures_are_those_of_programs() -> None:
    landscape, program = Landscape(seed=0), Landscape(seed=0).seed_program()
    large = landscape.evaluate(program.with_constants({"WIDTH": 2048}), 0)
    broken = landscape.evaluate(type(program)(program.source.replace("def residual", "def other")), 0)

    assert large.outcome is Outcome.OUT_OF_MEMORY
    assert "the limit is" in large.detail
    assert broken.outcome is Outcome.CRASHED
    assert "residual" in broken.detail
    assert large.train_seconds < 60


def test_a_change_that_the_landscape_does_not_know_has_a_value() -> None:
    landscape, program = Landscape(seed=0), Landscape(seed=0).seed_program()
    novel = type(program)(program.source.replace("    return relu2(x)", "    return relu2(x) * temperature"))

    assert landscape.truth(novel) == landscape.truth(novel)
    assert landscape.truth(novel) != pytest.approx(landscape.truth(program), abs=1e-6)
