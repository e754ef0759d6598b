from __future__ import annotations

import pytest

from operators.edit.statement import difference, stated
from target.program import Program

BLOCK = "<<<<<<< SEARCH\n# CHANGE: old\n=======\n# CHANGE: new\n>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (f"CHANGE: wider\nHYPOTHESIS: more room\n\n{BLOCK}", ("wider", "more room")),
        (f"**Change:** wider and\n  flatter\n\n**Hypothesis**: more room\n{BLOCK}", ("wider and flatter", "more room")),
        (f"<think>CHANGE: no</think>\n## Summary: wider\n{BLOCK}", ("wider", "")),
        ('```json\n{"change": "wider", "hypothesis": "more room"}\n```\n' + BLOCK, ("wider", "more room")),
        (f"I make the model wider. It lacks room.\n{BLOCK}", ("I make the model wider.", "")),
        (f"{BLOCK}Wider models learn more per step:\n", ("Wider models learn more per step", "")),
        (f"Sure! I make the model wider.\n{BLOCK}", ("I make the model wider.", "")),
        (f"Certainly!\n\nGreat question, okay. I make it wider.\n{BLOCK}", ("I make it wider.", "")),
        (f"Surely wider is better.\n{BLOCK}", ("Surely wider is better.", "")),
        (f"```python\n# CHANGE: in code\n```\n{BLOCK}", ("", "")),
        ("", ("", "")),
        ("CHANGE: a\x1b[31mb\tc", ("a [31mb c", "")),
    ],
)
def test_a_reply_says_what_it_changes_and_why(reply: str, said: tuple[str, str]) -> None:
    assert stated(reply) == said


def test_a_statement_is_one_line_of_bounded_length() -> None:
    change, reason = stated("CHANGE: " + "long " * 100 + "\nHYPOTHESIS: " + "why " * 2000)

    assert len(change) == 200
    assert change.endswith("...")
    assert len(reason) <= 2000


def test_what_an_agent_prints_is_not_taken_for_a_statement() -> None:
    assert stated("Reading files now.\n", of_agent=True) == ("", "")


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("A = 2\nB = 1\n", "A 1 -> 2"),
        ("A = 1\nB = 1\nprint(A)\n", "1 lines added, 0 removed"),
        ("A = 2\n", "1 lines added, 2 removed"),
    ],
)
def test_a_difference_is_described_by_its_constants_or_its_size(new: str, said: str) -> None:
    assert difference(Program("A = 1\nB = 1\n"), Program(new)) == said
