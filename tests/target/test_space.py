from __future__ import annotations

import numpy as np
import pytest

from target.program.constants import parse_constants
from target.program.space import axes_of, encode, encode_positions

SOURCE = """\
LR = 0.01  # knob: 1e-4..1 log
DEPTH = 8  # knob: 2..32 int
BATCH = 1024  # knob: 256..8192 pow2
SHARE = 0.2  # knob: 0..0.5 linear
HEAD = 64  # knob: 16 | 64 | 128
KIND = 'b'  # knob: a | b | c
TIED = True
FREE = 3.0
ZERO = 0
NAME = 'x'
STEPS = 5  # knob: fixed
LAYERS = 8
HEADS = 2
TOKENS = 15 * 2**14
DROPOUT = 0.1
BETAS = (0.9, 0.999)
MOMENTUM = 0.9  # knob: 0.5..0.99 average
"""
AXES = axes_of(parse_constants(SOURCE))


def test_what_cannot_move_has_no_axis() -> None:
    named = ["LR", "DEPTH", "BATCH", "SHARE", "HEAD", "KIND", "TIED", "FREE", "ZERO"]
    inferred = ["LAYERS", "HEADS", "TOKENS", "DROPOUT", "BETAS[0]", "BETAS[1]", "MOMENTUM"]
    assert [axis.name for axis in AXES] == [*named, *inferred]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_positions_and_values_agree(axis) -> None:
    for place in np.linspace(0, 1, 23):
        value = axis.value(float(place))
        assert axis.position(axis.value(axis.position(value))) == pytest.approx(axis.position(value), abs=1e-3)
        assert float(axis.snap(np.array([place]))[0]) == pytest.approx(axis.position(value), abs=1e-3)


def test_both_ways_to_encode_agree() -> None:
    rows = [{axis.name: axis.value(place) for axis in AXES} for place in (0.0, 0.4, 1.0)]
    positions = np.array([[axis.position(row[axis.name]) for axis in AXES] for row in rows])

    assert encode(AXES, rows, rows[0]) == pytest.approx(encode_positions(AXES, positions))


def test_powers_of_two_and_choices_are_hit_exactly() -> None:
    by_name = {axis.name: axis for axis in AXES}

    assert [by_name["BATCH"].value(step / 5) for step in range(6)] == [256, 512, 1024, 2048, 4096, 8192]
    assert {by_name["HEAD"].value(place) for place in (0.0, 0.5, 1.0)} == {16, 64, 128}
    assert by_name["BATCH"].levels == 6


def test_what_has_no_bounds_keeps_its_sign_and_its_neighbourhood() -> None:
    by_name = {axis.name: axis for axis in AXES}
    reach = {name: (axis.value(0.0), axis.value(1.0)) for name, axis in by_name.items()}

    assert reach["ZERO"] == (0, 1)
    assert reach["LAYERS"] == (4, 12)
    assert reach["HEADS"] == (1, 4)
    assert [by_name["LAYERS"].value(step / 8) for step in range(9)] == list(range(4, 13))
    assert reach["DROPOUT"] == (0.0, 1.0)


def test_a_multiple_of_a_power_moves_by_doublings_of_it() -> None:
    axis = next(axis for axis in AXES if axis.name == "TOKENS")
    values = [axis.value(step / (axis.levels - 1)) for step in range(int(axis.levels))]

    assert values == [15 * 2**n for n in range(10, 19)]
    assert axis.value(axis.position(15 * 2**14)) == 15 * 2**14


def test_averages_are_told_apart_by_what_they_lack_to_one() -> None:
    by_name = {axis.name: axis for axis in AXES}
    first, second, bounded = by_name["BETAS[0]"], by_name["BETAS[1]"], by_name["MOMENTUM"]

    assert (second.value(0.0), second.value(1.0)) == (0.984, 0.9999375)
    assert second.value(second.position(0.999)) == 0.999
    assert second.position(0.998) < second.position(0.999) < second.position(0.9995)
    assert second.position(0.9995) - second.position(0.999) == pytest.approx(
        second.position(0.999) - second.position(0.998)
    )
    assert 0 <= first.value(0.0) < first.value(1.0) < 1
    assert (bounded.value(0.0), bounded.value(1.0)) == (0.5, 0.99)
