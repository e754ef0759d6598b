from __future__ import annotations

import pytest

from target.program.movable import movable_text

SOURCE = """\
DEPTH = 8
BETAS = (0.9, 0.95)
LR = 0.02  # knob: 1e-3..1 log
VOCAB = 512  # knob: fixed
KIND = "gelu"
WIDTH = 64 * DEPTH
RATE = None
TWICE = 1
TWICE = 2
SIZES = {1, 2}
SEED = 7
OLD = 3
PEAK = 312e12
train(DEPTH, BETAS, LR, VOCAB, KIND, WIDTH, RATE, TWICE, SIZES, SEED)
print(f"{speed / PEAK}")
"""


def test_it_says_what_can_move_and_what_stays_and_why() -> None:
    assert movable_text(SOURCE) == (
        "3 constants can move: DEPTH, BETAS, LR; 9 stay: VOCAB (fixed); KIND (text without choices); SEED (a seed); "
        "OLD (not read); PEAK (only scales what is printed); WIDTH (an expression of other names); "
        "RATE (not a number); TWICE (set more than once); SIZES (several values)"
    )


def test_long_lists_are_cut() -> None:
    text = movable_text("".join(f"A{n} = {n}\n" for n in range(40)) + "".join(f"B{n} = None\n" for n in range(20)))

    assert text.startswith("40 constants can move: A0, A1, ")
    assert ", A15, 24 more; 20 stay: B0, B1, B2, B3, B4, B5, 14 more (not a number)" in text
    assert len(text) < 200


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("A = 1\n", "1 constant can move: A"),
        ("A = 'x'\n", "no constant can move; 1 stay: A (text without choices)"),
        ("f(x)\n", ""),
        ("A = (\n", ""),
        ("A = 1  # knob: 9..1\n", ""),
    ],
)
def test_a_program_may_have_none(source: str, text: str) -> None:
    assert movable_text(source) == text


SCRIPT = """\
import argparse
from dataclasses import dataclass
LR = 0.1
NUM_CLASSES = 10
learning_rate = 6e-4
name = "x"
@dataclass
class Config:
    depth: int = 2
    kind: str = "a"
parser = argparse.ArgumentParser()
parser.add_argument("-b", "--batch-size", type=int, default=64)
parser.add_argument("--momentum", default=-0.9)
parser.add_argument("--lr", default=LR)
parser.add_argument("--data", default="data")
args = parser.parse_args()
print(vars(args))
train(args, learning_rate, NUM_CLASSES, Config())
"""


def test_numbers_of_a_usual_script_that_no_operator_moves_are_named() -> None:
    assert movable_text(SCRIPT) == (
        "1 constant can move: LR; 1 stay: NUM_CLASSES (a property of the data); only constants such as `LR = 0.1` at "
        "the top level move, and not --batch-size, --momentum (defaults of options), learning_rate (not in upper "
        "case), Config.depth (fields of a class), unless a comment `# knob: LOW..HIGH` is behind the number"
    )
    assert movable_text("learning_rate = 0.1\nf(learning_rate)").startswith("no constant can move; only constants such")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('hyp = {"opt": {"lr": 11.5}, "flip": True}', "hyp.flip, hyp.opt.lr (entries of a dictionary)"),
        ("class C:\n  lr = float(os.environ.get('LR', 0.1))", "C.lr (fields of a class)"),
        ("@click.option('--lr', default=0.1)\ndef main(lr): pass", "--lr (defaults of options)"),
        ("def main(lr=0.1):\n  steps = 3\n  fit(depth=4)", "main.lr, main.steps, fit.depth (in functions and calls)"),
    ],
)
def test_where_nothing_moves_the_numbers_of_the_program_are_named_wherever_they_are(source: str, told: str) -> None:
    text = movable_text(f"{source}\n")

    assert text.startswith(
        f"no constant can move; only constants such as `LR = 0.1` at the top level move, and not {told}"
    )
    assert told.partition(" (")[0] not in movable_text(f"{source}\nRATE = 0.1\nuse(RATE)\n") or "in func" not in told


def test_numbers_with_a_knob_comment_are_not_among_those_that_stay() -> None:
    source = 'lr = 0.1  # knob: 0.01..1 log\nh = {\n  "a": 1,  # knob: 1..9\n  "b": 2,\n}\nuse(lr, h)\n'

    assert movable_text(source).startswith(
        "2 constants can move: lr, h.a; only constants such as `LR = 0.1` at the top"
    )
    assert "and not h.b (entries of a dictionary), unless" in movable_text(source)
