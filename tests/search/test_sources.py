from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.runs.sources import edited, edits_between

TEXTS = st.lists(st.sampled_from(["a = 1\n", "b = 2\n", "\n", "c\x0c\n", "d\r\n", "e\u2028", "\ud800"])).map("".join)


@given(TEXTS, TEXTS)
def test_edits_make_one_text_of_another(old: str, new: str) -> None:
    assert edited(old, edits_between(old, new)) == new


def test_a_line_that_differs_is_an_edit_of_its_own() -> None:
    assert edits_between("a\nb\nc\nd\n", "a\nB\nc\nD\n") == [(1, 2, "B\n"), (3, 4, "D\n")]


def test_lines_that_were_added_or_removed_are_one_edit() -> None:
    assert edits_between("a\nb\nc\n", "a\nx\ny\nc\n") == [(1, 2, "x\ny\n")]
    assert edits_between("a\na\n", "a\n") == [(1, 2, "")]
