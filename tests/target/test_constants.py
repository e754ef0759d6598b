# ruff: noqa: E501 -- a program
from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.constants import Knob, blank_constants, parse_constants, replace_constants

SOURCE = '''\
"""DEPTH = 9 in a docstring."""
import os

DEPTH = 4  # knob: 2..24 int
LR: float = 1e-3   # knob: 1e-4..1 log   (of matrices)
SHIFT = -0.5
ACTIVATION = "relu2"  # knob: relu2 | gelu | silu
ROPE_BASE = 10_000  # knob: 1_000 | 10_000
TIED = False
VOCAB = 512  # knob: fixed
ü = "# knob: fixed"; WIDTH = 64
TWICE = 1
TWICE = 2
COMPUTED = DEPTH * WIDTH
BETAS = (0.8, 0.95)
lower = 3


def f(DEPTH=7):
    INNER = 5
    return "DEPTH = 1", INNER
'''


def test_constants_are_the_values_assigned_once_at_the_top_level() -> None:
    constants = parse_constants(SOURCE)

    assert {name: constant.value for name, constant in constants.items()} == {
        "DEPTH": 4,
        "LR": 1e-3,
        "SHIFT": -0.5,
        "ACTIVATION": "relu2",
        "ROPE_BASE": 10_000,
        "TIED": False,
        "VOCAB": 512,
        "WIDTH": 64,
        "BETAS[0]": 0.8,
        "BETAS[1]": 0.95,
    }
    assert constants["DEPTH"].knob == Knob(low=2, high=24, scale="int")
    assert constants["LR"].knob == Knob(low=1e-4, high=1, scale="log")
    assert constants["ACTIVATION"].knob == Knob(choices=("relu2", "gelu", "silu"))
    assert constants["ROPE_BASE"].knob == Knob(choices=(1_000, 10_000))
    assert constants["VOCAB"].knob == Knob(fixed=True)
    assert constants["WIDTH"].knob == Knob()  # a hash inside a string is no comment


def test_replacing_changes_the_literal_and_nothing_else() -> None:
    changed = replace_constants(SOURCE, {"DEPTH": 12, "SHIFT": 0.25, "ACTIVATION": "gelu", "WIDTH": 128})

    expected = (
        SOURCE.replace("DEPTH = 4 ", "DEPTH = 12 ")
        .replace("-0.5", "0.25")
        .replace('"relu2"', "'gelu'")
        .replace("WIDTH = 64", "WIDTH = 128")
    )
    assert changed == expected


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("noise", ["", "S = 'a\x0cb\u2028c'\n", "\x0c\n"])
def test_line_ends_and_form_feeds_are_kept(newline: str, noise: str) -> None:
    source = f"{noise}A = 1\nB = 2  # é\n".replace("\n", newline)

    assert replace_constants(source, {"B": 3}) == source.replace("B = 2", "B = 3")


LITERALS = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9)
)


@given(st.lists(LITERALS, min_size=1, max_size=6), st.lists(LITERALS, min_size=6, max_size=6))
def test_any_values_can_be_replaced_by_any_values(old: list, new: list) -> None:
    source = "".join(f"K{index} = {value!r}  # {index}\n" for index, value in enumerate(old))
    values = {f"K{index}": new[index] for index in range(len(old))}

    changed = replace_constants(source, values)
    assert {name: constant.value for name, constant in parse_constants(changed).items()} == values
    assert blank_constants(changed) == blank_constants(source)
    assert ast.unparse(ast.parse(replace_constants(changed, dict(zip(values, old, strict=False))))) == ast.unparse(
        ast.parse(source)
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A = 1  # knob: 5..2", "line 1: the lower bound of a knob must be below the upper, got '5..2'"),
        ("A = 1  # knob: a..b", "line 1: the bounds of a knob must be numbers"),
        ("A = 1  # knob: 1..2 cubic", "line 1: a knob is 'LOW..HIGH"),
        ("A = 1  # knob: 1 | f(x)", "line 1: a choice of a knob must be a literal"),
        ("A = 1  # knob:", "line 1: a knob is"),
    ],
)
def test_a_knob_that_says_nothing_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        parse_constants(line)


def test_an_unknown_constant_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="not a constant of the program: LAYERS; it has A, B"):
        replace_constants("A = 1\nB = 2\n", {"LAYERS": 3})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_literal_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        replace_constants("A = 1.0\n", {"A": value})


def test_choices_have_the_type_of_the_value() -> None:
    constants = parse_constants("A = 0.5  # knob: 0.5 | 1\nB = 'x'  # knob: 'x' | \"y\" | z\n")

    assert [type(choice) for choice in constants["A"].knob.choices] == [float, float]
    assert constants["B"].knob.choices == ("x", "y", "z")


def test_a_literal_over_several_lines_is_no_constant() -> None:
    assert list(parse_constants('A = """a\nb"""\nB = 1\n')) == ["B"]


@pytest.mark.parametrize(
    "again",
    ["A = B = 2", "A, B = 2, 3", "A += 1", "if True:\n    A = 2", "for A in (1, 2):\n    pass", "del A"],
)
def test_a_name_that_is_bound_again_is_no_constant(again: str) -> None:
    assert "A" not in parse_constants(f"A = 1\n{again}\n")
    assert "A" not in parse_constants("A = 1\ndef f():\n    global A\n    A = 2\n")
    assert "A" in parse_constants("A = 1\ndef f():\n    A = 2\n")  # a name of the function's own


def test_a_knob_stays_with_its_constant_whatever_ends_the_lines() -> None:
    for newline in ("\n", "\r\n", "\r"):
        constants = parse_constants(f"A = 1{newline}B = 2  # knob: fixed{newline}C = 3{newline}")
        assert [constant.knob.fixed for constant in constants.values()] == [False, True, False]


PLAIN = """\
DEPTH = 8
N_HEADS = 4
HEAD_DIM = 128
TOTAL_BATCH_SIZE = 2**19
STEPS = 4 * 1024
ADAM_BETAS = (0.8, 0.95)
WARMDOWN_RATIO = 0.5
MLP_RATIO = 4.0
SEED = 42
PEAK_FLOPS = 989.5e12
UNUSED = 3
LIMITS = (1, "two")
HUGE = 10**6**6
print(DEPTH, N_HEADS, HEAD_DIM, TOTAL_BATCH_SIZE, STEPS, ADAM_BETAS, WARMDOWN_RATIO, MLP_RATIO, SEED, PEAK_FLOPS, LIMITS, HUGE)
"""


def test_without_comments_names_and_values_say_how_a_constant_moves() -> None:
    knobs = {name: constant.knob for name, constant in parse_constants(PLAIN).items()}

    assert knobs == {
        "DEPTH": Knob(low=1, scale="unit"),
        "N_HEADS": Knob(low=1, scale="unit"),
        "HEAD_DIM": Knob(),
        "TOTAL_BATCH_SIZE": Knob(),
        "STEPS": Knob(),
        "ADAM_BETAS[0]": Knob(low=0.5, high=0.9999, scale="linear"),
        "ADAM_BETAS[1]": Knob(low=0.5, high=0.9999, scale="linear"),
        "WARMDOWN_RATIO": Knob(low=0, high=1, scale="linear"),
        "MLP_RATIO": Knob(),
        "SEED": Knob(fixed=True),
        "PEAK_FLOPS": Knob(fixed=True),
        "UNUSED": Knob(fixed=True),
    }


@pytest.mark.parametrize("more", ["config = globals()", "exec(text)"])
def test_what_may_be_read_by_others_is_not_called_unused(more: str) -> None:
    assert parse_constants("UNUSED = 3")["UNUSED"].knob == Knob()
    assert parse_constants(f"UNUSED = 3\nDEPTH = 8\nprint(DEPTH)\n{more}")["UNUSED"].knob == Knob()


def test_what_is_replaced_keeps_its_form_where_the_new_value_has_it() -> None:
    changed = replace_constants(PLAIN, {"TOTAL_BATCH_SIZE": 2**18, "ADAM_BETAS[1]": 0.9, "STEPS": 5000})

    assert "TOTAL_BATCH_SIZE = 2**18\n" in changed
    assert "ADAM_BETAS = (0.8, 0.9)\n" in changed
    assert "STEPS = 5000\n" in changed
    assert "TOTAL_BATCH_SIZE = 300000\n" in replace_constants(PLAIN, {"TOTAL_BATCH_SIZE": 300_000})
