"""What holds for every reply and every file."""

from __future__ import annotations

import contextlib
import difflib

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.edit import EditError, apply_reply
from operators.edit.blocks import search_blocks
from operators.edit.diffs import diff_hunks
from operators.edit.elision import elision
from operators.edit.text import split_lines, unescape
from operators.edit.thinking import without_thinking

LINES = st.one_of(
    st.sampled_from(
        ["", "", "x = 1", "    x = 1", "\ty = 2", "-- a", "++ b", "@@ -1 +1 @@", "# c", "\\ d", "```", "a  "]
    ),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\ufffd"), max_size=12),
)
"""Lines of a file, those among them that a parser may stumble over."""
MARKERS = ("<<<<<", "=====", ">>>>>", "|||||", "-----", "+++++", "```", "~~~", "&")


def plain(line: str) -> bool:
    """Whether a line can stand in a SEARCH block: not the block's own syntax, nor code left out."""
    return elision([line], []) is None and not line.strip().startswith(MARKERS) and "<" not in line and "&" not in line


PLAIN_TEXTS = st.lists(LINES.filter(plain), max_size=14).map(lambda lines: "".join(f"{line}\n" for line in lines))
TEXTS = st.builds(
    lambda lines, end: "\n".join(lines) + (end if lines else ""),
    st.lists(LINES.filter(lambda line: elision([line], []) is None), max_size=14),
    st.sampled_from(["\n", ""]),
)


def unified(old: str, new: str, *, shift: int = 0) -> str:
    """Return the diff of two texts, as difflib writes it."""
    parts = (text.split("\n") for text in (old, new))
    before, after = ([f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else []) for lines in parts)
    lines = difflib.unified_diff(before, after, "a/train.py", "b/train.py")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def blocks(old: str, new: str) -> str:
    """Return SEARCH/REPLACE blocks that turn one text into another: each as short as it can be found by.

    Blocks that would quote the same lines are one: which of equal lines each of them changes could not be told.
    """
    before, after = (split_lines(text)[0] for text in (old, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    found = [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    parts, wide, behind = list[str](), 1, 0
    for start, stop, new_start, new_stop in found:
        while True:
            low, high = max(0, start - wide), min(len(before), stop + wide)
            quoted = before[low:high]
            places = [i for i in range(len(before) - len(quoted) + 1) if before[i : i + len(quoted)] == quoted]
            if len(places) == 1 or (low, high) == (0, len(before)):
                break
            wide += 1
        if low < behind:
            return "\n".join(["<<<<<<< SEARCH", *before, "=======", *after, ">>>>>>> REPLACE"]) + "\n"
        behind = high
        replaced = [*before[low:start], *after[new_start:new_stop], *before[stop:high]]
        parts.append("\n".join(["<<<<<<< SEARCH", *quoted, "=======", *replaced, ">>>>>>> REPLACE"]))
    return "\n".join(parts) + "\n"


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_a_unified_diff_turns_one_text_into_the_other(old: str, new: str) -> None:
    if old != new:
        assert apply_reply(f"So:\n```diff\n{unified(old, new)}```\nDone.\n", old) == new


@settings(deadline=None)
@given(PLAIN_TEXTS, PLAIN_TEXTS)
def test_search_blocks_turn_one_text_into_the_other(old: str, new: str) -> None:
    if old != new:
        assert apply_reply(blocks(old, new), old) == new


@settings(deadline=None)
@given(PLAIN_TEXTS, PLAIN_TEXTS)
def test_so_they_do_with_the_line_endings_of_windows(old: str, new: str) -> None:
    windows = [text.replace("\n", "\r\n") for text in (old, new)]
    if old.strip() and old != new:
        assert apply_reply(blocks(old, new), windows[0]) == windows[1]


@settings(deadline=None)
@given(TEXTS, TEXTS, PLAIN_TEXTS)
def test_text_outside_of_the_blocks_never_changes(before: str, after: str, replacement: str) -> None:
    before, after = before + "\n" * (not before.endswith("\n")), after
    reply = f"<<<<<<< SEARCH\nthe one line\n=======\n{replacement}>>>>>>> REPLACE\n"

    assert apply_reply(reply, f"{before}the one line\n{after}") == f"{before}{replacement}{after}"


@settings(deadline=None)
@given(TEXTS, st.lists(st.sampled_from(["", " ", "\t", "    "]), min_size=1, max_size=5))
def test_a_match_up_to_white_space_changes_no_more_than_an_exact_one(text: str, spaces: list[str]) -> None:
    source = f"{text}\nif one:\n    two = 2\n    three = 3\n"
    lines = ["if one:", "    two = 2", "    three = 3"]
    quoted = [f"{line}{spaces[number % len(spaces)]}" for number, line in enumerate(lines)]
    new = [quoted[0], "    two = 4", quoted[2]]
    reply = "\n".join(["<<<<<<< SEARCH", *quoted, "=======", *new, ">>>>>>> REPLACE"])

    assert apply_reply(reply, source) == source.replace("two = 2\n    three = 3\n", "two = 4\n    three = 3\n")


FRAGMENTS = st.sampled_from(
    [
        "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", "||||||| base\n", "------- SEARCH\n", "+++++++ REPLACE\n",
        "```python\n", "```diff\n", "```\n", "~~~\n", "--- a/train.py\n", "+++ b/train.py\n", "@@ -1,2 +3 @@\n", "@@\n",
        "+x = 1\n", "-x = 1\n", " x = 1\n", "\\ No newline\n", "x = 1\n", "<think>\n", "</think>\n", "train.py\n",
        "prepare.py\n", "&lt;&lt;&lt;&lt;&lt;&lt;&lt; SEARCH\n", "...\n", "*** Update File: train.py\n", "\x00",
        "\ud800",
        "\r", "import os\n", "def f(:\n", "*** End Patch\n", "    ", "\t",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=25).map("".join),
    st.sampled_from(["", "x = 1\n", "x = 1"]),
)
def test_whatever_comes_the_only_error_is_its_own(reply: str, source: str) -> None:
    with contextlib.suppress(EditError):
        assert isinstance(apply_reply(reply, source), str)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_parsed_without_another_error(text: str) -> None:
    lines = text.split("\n")
    with contextlib.suppress(EditError):
        search_blocks(lines)
    diff_hunks(lines, own="train.py")
    assert isinstance(without_thinking(unescape(text)), str)
