"""Recognises the marks of SEARCH/REPLACE blocks and their kinds, in the requested form and in models' variants."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from typing import Final

from operators.edit.text import visible


class Mark(enum.Enum):
    """The kind of a mark."""

    OPEN = "the line before the old text"
    BASE = "the line before the common ancestor of a merge"
    DIVIDER = "the line between the old and the new text"
    CLOSE = "the line after the new text"
    BROKEN = "marks of no known kind"


_RUN: Final = re.compile(r"(?P<run>[<>]{3,}|={3,}\+?|[|+-]{5,}|[╔╠╚][═╗╣╝╬]{2,})(?P<label>.*)", re.DOTALL)
_FIRST: Final = frozenset("<>=|+-╔╠╚")
_MARKDOWN: Final = "\\`*"
"""Markdown around a mark: escapes, backticks, bold."""
_OPENING_WORDS: Final = frozenset({"SEARCH", "ORIGINAL", "HEAD", "OLD", "FIND"})
_CLOSING_WORDS: Final = frozenset({"REPLACE", "REPLACED", "REPLACEMENT", "UPDATED", "END"})
_USUAL: Final = range(5, 10)
"""Number of signs of a mark without a word after them; git and aider write seven."""
_LABEL_CHARACTERS: Final = 200


def marks_of(lines: Sequence[str]) -> Iterator[tuple[int, Mark, str]]:
    """Yield the number, the kind and the label of each line that is a mark."""
    for number, line in enumerate(lines):
        bare = line.lstrip() if line.isascii() else visible(line).strip()
        if bare[:1] in _MARKDOWN:
            bare = bare.strip(_MARKDOWN + " ")
        if bare[:1] in _FIRST and bare and (found := _mark(bare)):
            yield number, *found


def _mark(bare: str) -> tuple[Mark, str] | None:
    match = _RUN.match(bare)
    if match is None:
        quotes_mark = bare[:2] == "> " and bare.lstrip("> ")[:4] == "<<<<"
        return (Mark.BROKEN, "") if quotes_mark else None
    run, label = match["run"], match["label"][:_LABEL_CHARACTERS].strip()
    word = re.split(r"[^A-Z]", label.upper(), maxsplit=1)[0]
    kind = _kind(run, label, word)
    return None if kind is None else (kind, label)


def _kind(run: str, label: str, word: str) -> Mark | None:
    sign, usual = run[0], len(run) in _USUAL
    if sign in "╔╠╚":
        return {"╔": Mark.OPEN, "╠": Mark.DIVIDER, "╚": Mark.CLOSE}[sign]
    if sign in "<>" and len(set(run)) == 1:
        if word in _CLOSING_WORDS:
            return Mark.CLOSE
        if word in _OPENING_WORDS and (sign == "<" or word in ("SEARCH", "ORIGINAL")):
            return Mark.OPEN
        if usual:
            return Mark.OPEN if sign == "<" else Mark.CLOSE
    if sign in "<>":
        return Mark.BROKEN if len(run) > 3 else None
    if sign == "=":
        return Mark.CLOSE if word == "REPLACE" else Mark.DIVIDER if not label and run[-1] == "=" else None
    if sign == "|" and usual and len(set(run)) == 1:
        return Mark.BASE
    if sign == "-" and word == "SEARCH" and usual:
        return Mark.OPEN
    return Mark.CLOSE if sign == "+" and word == "REPLACE" and usual else None
