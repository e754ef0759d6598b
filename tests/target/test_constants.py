from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.program.constants import Knob, blank_constants, parse_constants, replace_constants

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
MICRO_BATCH = 15 * 2**14
STEPS = 4 * 1024
SHIFTED = 1 << 10
ADAM_BETAS = (0.8, 0.95)
SIZES = [
    64,  # knob: 16..256 pow2
    96,
]
WARMDOWN_RATIO = 0.5
MLP_RATIO = 4.0
MATRIX_LR = 0.04 * 6 / 8
SEED = 42
LIMITS = (1, "two")
HUGE = 10**6**6
DEEP = {deep}
train(DEPTH, N_HEADS, HEAD_DIM, TOTAL_BATCH_SIZE, MICRO_BATCH, STEPS, SHIFTED, ADAM_BETAS)
train(SIZES, WARMDOWN_RATIO, MLP_RATIO, MATRIX_LR, SEED, LIMITS, HUGE, DEEP)
""".replace("{deep}", " + ".join("1" * 300))


def test_expressions_and_the_numbers_of_tuples_are_values() -> None:
    assert {name: constant.value for name, constant in parse_constants(PLAIN).items()} == {
        "DEPTH": 8,
        "N_HEADS": 4,
        "HEAD_DIM": 128,
        "TOTAL_BATCH_SIZE": 524_288,
        "MICRO_BATCH": 245_760,
        "STEPS": 4096,
        "SHIFTED": 1024,
        "ADAM_BETAS[0]": 0.8,
        "ADAM_BETAS[1]": 0.95,
        "SIZES[0]": 64,
        "SIZES[1]": 96,
        "WARMDOWN_RATIO": 0.5,
        "MLP_RATIO": 4.0,
        "MATRIX_LR": 0.03,
        "SEED": 42,
    }


def test_what_is_replaced_keeps_its_form_where_the_new_value_has_it() -> None:
    new = {
        "TOTAL_BATCH_SIZE": 2**18,
        "MICRO_BATCH": 15 * 2**9,
        "STEPS": 2048,
        "SHIFTED": 256,
        "ADAM_BETAS[0]": 0.812,
        "ADAM_BETAS[1]": 0.9,
        "SIZES[0]": 128,
        "MATRIX_LR": 0.05,
    }
    changed = replace_constants(PLAIN, new)

    expected = (
        PLAIN.replace("2**19", "2**18")
        .replace("15 * 2**14", "15 * 2**9")
        .replace("4 * 1024", "2 * 1024")
        .replace("1 << 10", "1 << 8")
        .replace("(0.8, 0.95)", "(0.812, 0.9)")
        .replace("    64,", "    128,")
        .replace("0.04 * 6 / 8", "0.05")
    )
    assert changed == expected
    assert {name: parse_constants(changed)[name].value for name in new} == new
    assert blank_constants(changed) == blank_constants(PLAIN)


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("2**19", 300_000, "300000"),
        ("2**19", 1, "2**0"),
        ("(2**19)", 2**20, "(2**20)"),
        ("2 ** 19", 2**20, "2 ** 20"),
        ("10**6", 10**5, "10**5"),
        ("3 * 10**5", 6 * 10**5, "6 * 10**5"),
        ("4 * 1024", 5000, "5000"),
        ("-(2**4)", -8, "-8"),
        ("2**4 - 1", 7, "7"),
        ("10_000", 20_000, "20000"),
        ("2**19", 0.5, "0.5"),
    ],
)
def test_a_value_without_that_form_is_written_as_it_is(old: str, value: float, new: str) -> None:
    assert replace_constants(f"A = {old}  # of it\n", {"A": value}) == f"A = {new}  # of it\n"


def test_two_constants_of_one_line_are_replaced_together() -> None:
    assert replace_constants("A = 1; B = 2\n", {"A": 1000, "B": 2000}) == "A = 1000; B = 2000\n"


@given(st.integers(1, 99), st.integers(0, 40), st.integers(-3, 3))
def test_a_multiple_of_a_power_keeps_its_form_by_any_doubling(factor: int, exponent: int, doublings: int) -> None:
    value = factor * 2**exponent * 2.0**doublings
    changed = replace_constants(f"A = {factor} * 2**{exponent}\n", {"A": max(int(value), 1)})

    assert parse_constants(changed)["A"].value == max(int(value), 1)
    if exponent + doublings >= 0:
        assert changed == f"A = {factor} * 2**{exponent + doublings}\n"


COUNTED, SHARE, AVERAGE = Knob(low=1, scale="unit"), Knob(low=0, high=1, scale="share"), Knob(low=0, scale="average")


@pytest.mark.parametrize(
    ("line", "knob"),
    [
        ("DEPTH = 8", COUNTED),
        ("N_LAYER = 12", COUNTED),
        ("NUM_KV_HEADS = 4", COUNTED),
        ("NLAYERS = 6", COUNTED),
        ("HEAD_DIM = 128", Knob()),
        ("BLOCK_SIZE = 256", Knob()),
        ("BLOCK = 128", Knob()),
        ("HEAD_LR = 0.004", Knob()),
        ("DEVICE_BATCH_SIZE = 128", Knob()),
        ("TOTAL_BATCH_SIZE = 2**19", Knob(scale="pow2")),
        ("TOTAL_BATCH_SIZE = 63 * 2**12", Knob(scale="pow2")),
        ("WARMUP_RATIO = 0.0", SHARE),
        ("WARMUP_RATIO = 0", SHARE),
        ("WARMDOWN_RATIO = 1", SHARE),
        ("WARMUP = 0.05", SHARE),
        ("WARMUP = 100", Knob()),
        ("WARMUP = 0", Knob()),
        ("WARMUP_STEPS = 0", Knob()),
        ("WARMUP_EPOCHS = 0.5", Knob()),
        ("DROP_RATE = 0.1", SHARE),
        ("DROP_LAST = 1", Knob()),
        ("WARMUP_LR = 1e-6", Knob()),
        ("FINAL_LR_FRAC = 0.0", SHARE),
        ("DROPOUT = 0.1", SHARE),
        ("LABEL_SMOOTHING = 0.1", SHARE),
        ("MAX_SHIFT_FRACTION = 1 / 8", SHARE),
        ("MLP_RATIO = 4.0", Knob()),
        ("MLP_RATIO = 4", Knob()),
        ("KV_RATIO = 1", Knob()),
        ("ADAM_BETA1 = 0.9", AVERAGE),
        ("MOMENTUM = 0.95", AVERAGE),
        ("MOMENTUM = 0.0", SHARE),
        ("EMA_DECAY = 0.9999", AVERAGE),
        ("PATH_LENGTH_DECAY = 0.99", AVERAGE),
        ("WEIGHT_DECAY = 0.2", Knob()),
        ("GRAD_CLIP = 1.0", Knob()),
        ("BETA_SCHEDULE = 'cosine'", Knob()),
    ],
)
def test_without_a_comment_name_and_value_say_how_a_constant_moves(line: str, knob: Knob) -> None:
    (constant,) = parse_constants(line).values()

    assert (constant.knob, constant.stays) == (knob, "")
    (commented,) = parse_constants(f"{line}  # knob: {line.partition('= ')[2]} | 7").values()
    assert commented.knob.choices, "a comment says more than a name"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SEED", "a seed"),
        ("H100_BF16_PEAK_FLOPS", "a figure of the hardware"),
        ("EVAL_TOKENS", "how the score is measured"),
        ("VAL_BATCHES", "how the score is measured"),
        ("TIME_BUDGET", "a limit"),
        ("LOG_EVERY", "what is printed"),
        ("CHECKPOINT_INTERVAL", "what is printed"),
        ("LOG_SCALE", ""),
        ("VALUE_EMBEDDINGS", ""),
    ],
)
def test_some_names_say_that_a_constant_is_beside_the_training(name: str, reason: str) -> None:
    (constant,) = parse_constants(f"{name} = 20").values()
    (commented,) = parse_constants(f"{name} = 20  # knob: 1..90").values()

    assert (constant.stays, constant.knob.fixed) == (reason, bool(reason))
    assert (commented.stays, commented.knob) == ("", Knob(low=1, high=90)), "the comment says that it may move"


def test_a_comment_may_be_written_with_powers() -> None:
    first, second = parse_constants("A = 2**19  # knob: 2**16..2**21 pow2\nB = 2**19  # knob: 2**18 | 2**19\n").values()

    assert (first.knob, second.knob) == (Knob(low=65536, high=2097152, scale="pow2"), Knob(choices=(262144, 524288)))


@pytest.mark.parametrize("knob", ["0.5..1 average", "-0.5..0.9 average"])
def test_an_average_lies_between_zero_and_one(knob: str) -> None:
    with pytest.raises(ValueError, match="the bounds of an average must be at least 0 and below 1"):
        parse_constants(f"A = 0.9  # knob: {knob}")
