"""Answers that give constants new values and leave everything else alone."""

from __future__ import annotations

import pytest

from operators.edit import EditError, apply_reply

SOURCE = '''"""A program."""
import os

DEPTH = 4  # knob: 2..24 int
LR = 0.02
KIND = "relu2"  # knob: relu2 | gelu
BETAS = (0.9, 0.95)


def main():
    depth = DEPTH
'''


@pytest.mark.parametrize(
    "reply",
    [
        "CHANGE: deeper\n\n```python\nDEPTH = 6\nLR = 3e-3\n```\nThat is all.",
        "```\nDEPTH = 6  # more layers\n\nLR: float = 3e-3\n```",
        "First:\n```python\nDEPTH = 6\n```\nand then\n```py\nLR = 3e-3\n```",
        "I would set\n\nDEPTH = 6\nLR = 3e-3\n",
        "<think>DEPTH = 99</think>\nDEPTH = 6\nLR = 3e-3\n\nThis should lower val_bpb by 0.01.",
    ],
)
def test_constants_get_new_values_and_nothing_else_changes(reply: str) -> None:
    assert apply_reply(reply, SOURCE) == SOURCE.replace("= 4 ", "= 6 ").replace("0.02", "0.003")


def test_a_string_and_a_negative_number_are_values() -> None:
    assert apply_reply('```\nKIND = "gelu"\nLR = -1\n```', SOURCE) == SOURCE.replace('"relu2"', "'gelu'").replace(
        "0.02", "-1"
    )


def test_an_expression_takes_the_place_of_what_is_assigned() -> None:
    changed = SOURCE.replace("= 4 ", "= 3 * 2 ").replace("0.95", "0.99")

    assert apply_reply("```python\nDEPTH = 3 * 2\nBETAS = (0.9, 0.99)\n```", SOURCE) == changed


def test_a_value_that_may_be_cut_off_is_not_believed() -> None:
    with pytest.raises(EditError, match="cut off"):
        apply_reply("I would set\n\nDEPTH = 1", SOURCE)

    assert "DEPTH = 1 " in apply_reply("I would set\n\nDEPTH = 1", SOURCE, complete=True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("DEPHT = 6", "its constants are DEPTH, LR, KIND"),
        ("DEPTH = 6\nDEPTH = 8", "set twice"),
        ("LR = 1e999", "finite"),
        ("val_bpb = 2.7", "does not set a constant"),
        ("DEPTH: int", "does not set a value"),
    ],
)
def test_what_is_no_new_value_is_refused_with_the_reason(code: str, reason: str) -> None:
    with pytest.raises(EditError, match=reason):
        apply_reply(f"```python\n{code}\n```", SOURCE)


def test_a_file_of_constants_only_is_a_whole_file() -> None:
    assert apply_reply("```python\nDEPTH = 6\n```", "DEPTH = 4\nLR = 0.1\n") == "DEPTH = 6\n"


def test_lines_end_as_they_did() -> None:
    windows = SOURCE.replace("\n", "\r\n")
    assert apply_reply("```python\nDEPTH = 6\n```", windows) == windows.replace("= 4 ", "= 6 ")


NUMBERS = """BATCH = 2**19  # tokens
BETAS = (0.9, 0.95)  # of Adam
SIZES = [64, 128]
LR = 0.02


def main():
    return BATCH, BETAS, SIZES, LR
"""


@pytest.mark.parametrize(
    "reply",
    [
        "```python\nBATCH = 2**18\nBETAS[1] = 0.99\n```",
        "```python\nBETAS = (0.9, 0.99)\nBATCH = 262144\n```",
        "BETAS[1] = 0.99\nBATCH = 2**18\n\nThat is all.",
        "- BETAS[1]: 0.95 -> 0.99\n- BATCH: 2**19 -> 2**18\n",
        "- BETAS: (0.9, 0.95) -> (0.9, 0.99)\n- BATCH: 524288 -> 262144\n",
        "BETAS = (0.9, 0.99)\nBATCH = 2**18\n\nThat is all.",
    ],
)
def test_powers_and_numbers_of_tuples_are_given_by_themselves_or_as_a_whole(reply: str) -> None:
    assert apply_reply(reply, NUMBERS) == NUMBERS.replace("2**19", "2**18").replace("0.95", "0.99")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "BETAS[2] = 0.9",
            r"'BETAS\[2\] = 0.9' does not set a constant of the file; its constants are BATCH, BETAS\[0\]",
        ),
        ("BETAS[0] = f(1)", "does not set a number: write the whole tuple"),
        ("BETAS[0] = 0.8\nBETAS[0] = 0.7", r"BETAS\[0\] is set twice"),
        ("BETAS[0] = 0.8\nBETAS = (0.8, 0.95)", r"BETAS\[0\] is set twice, by itself and with its tuple"),
    ],
)
def test_a_number_of_a_tuple_that_cannot_be_placed_is_refused(lines: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        apply_reply(f"```python\n{lines}\n```", NUMBERS)
