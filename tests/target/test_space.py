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
"""
AXES = axes_of(parse_constants(SOURCE))


def test_what_cannot_move_has_no_axis() -> None:
    assert [axis.name for axis in AXES] == ["LR", "DEPTH", "BATCH", "SHARE", "HEAD", "KIND", "TIED", "FREE", "ZERO"]


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
