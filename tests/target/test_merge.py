from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.program import Program
from target.program.merge import MergeError, merge

BASE = """LR = 0.1
DECAY = 0.01
DEPTH = 4

def build_model():
    x = 1
    return x

def main():
    pass
"""


def edited(*pairs: tuple[str, str]) -> Program:
    source = BASE
    for old, new in pairs:
        assert old in source
        source = source.replace(old, new)
    return Program(source)


LR, DECAY, DEPTH = ("LR = 0.1", "LR = 0.2"), ("DECAY = 0.01", "DECAY = 0.5"), ("DEPTH = 4", "DEPTH = 8")
BODY = ("    x = 1\n", "    x = 1\n    x += 1\n")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([LR], [DEPTH]),
        ([LR], [DECAY]),  # neighbouring lines
        ([LR, DEPTH], [DECAY]),  # a line between two others
        ([DEPTH], [BODY]),
        ([BODY], [LR, DECAY]),
        ([LR], [LR, DEPTH]),  # a part of both is the same
        ([BODY], [BODY, ("    pass\n", "    return\n")]),
    ],
)
def test_both_edits_are_made(ours: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> None:
    merged = merge(Program(BASE), edited(*ours), edited(*theirs))
    assert merged == edited(*ours, *(pair for pair in theirs if pair not in ours))
    assert merge(Program(BASE), edited(*theirs), edited(*ours)) == merged


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([LR], [("LR = 0.1", "LR = 0.3")], "both change line 1 of their common parent"),
        ([BODY], [("    x = 1\n", "    x = 1\n    x -= 1\n")], "both change line 7"),
        ([("    x = 1\n", "")], [("    return x\n", "    return 0\n")], "both change line 7"),  # they touch
        ([("    pass\n", "")], [LR], "do not parse"),  # and neither does ours
    ],
)
def test_a_conflict_is_refused(ours: list[tuple[str, str]], theirs: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(MergeError, match=said):
        merge(Program(BASE), edited(*ours), edited(*theirs))


def test_constants_in_one_line_are_merged_by_value() -> None:
    base = Program("BETAS = (0.9, 0.99)\nLR = 0.1\n")
    ours = Program("BETAS = (0.8, 0.99)\nLR = 0.1\n\n# tuned\n")
    theirs = Program("BETAS = (0.9, 0.95)\nLR = 0.1\n")
    assert merge(base, ours, theirs).source == "BETAS = (0.8, 0.95)\nLR = 0.1\n\n# tuned\n"
    with pytest.raises(MergeError):
        merge(base, ours, Program("BETAS = (0.7, 0.95)\nLR = 0.1\n"))


lines = st.lists(st.sampled_from(["a = 1\n", "b = 2\n", "c = 3\n", "d = 4\n"]), max_size=8).map("".join)


@given(lines, lines)
def test_an_edit_is_made_to_an_unchanged_program(base: str, edit: str) -> None:
    assert merge(Program(base), Program(base), Program(edit)) == Program(edit)
    assert merge(Program(base), Program(edit), Program(base)) == Program(edit)
    assert merge(Program(base), Program(edit), Program(edit)) == Program(edit)


@given(lines, lines, lines)
def test_the_order_of_two_edits_does_not_matter(base: str, first: str, second: str) -> None:
    results = []
    for ours, theirs in ((first, second), (second, first)):
        try:
            results.append(merge(Program(base), Program(ours), Program(theirs)).id)
        except MergeError:
            results.append("conflict")
    assert results[0] == results[1]
