"""How the journal holds the source of a program: as the lines that differ from its parent's, or as a whole."""

from __future__ import annotations

import itertools

Edits = list[tuple[int, int, str]]
"""Replacements, (first line, line after the last, new text), in order; lines count from 0."""


def edits_between(old: str, new: str) -> Edits:
    """Return the edits that make one text of another.

    They are found in linear time. If the number of lines is the same, every changed line is an edit; otherwise the
    whole part between the first and the last difference is one.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [(line, line + 1, there) for line, (here, there) in pairs if here != there]
    start = _n_common(before, after)
    end = _n_common(before[start:][::-1], after[start:][::-1])
    return [(start, len(before) - end, "".join(after[start : len(after) - end]))]


def _n_common(before: list[str], after: list[str]) -> int:
    """Return the number of first lines that two texts have in common."""
    pairs = zip(before, after, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def edited(old: str, edits: Edits) -> str:
    """Return a text with its edits made."""
    lines = old.splitlines(keepends=True)
    for start, stop, text in reversed(edits):
        lines[start:stop] = [text]
    return "".join(lines)
