"""Line numbers that models copy before lines of code, as editors and `cat -n` show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_GUTTER: Final = re.compile(
    r"[ \t]{0,9}(?P<number>\d{1,6})(?:(?P<sign>[ \t]?[|│:→>]|\t)(?P<signed>.*)|(?P<spaced> .*)|$)", re.DOTALL
)


def without_gutters(old: Sequence[str], new: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return the old and the new lines of an edit without line numbers before them.

    Numbers are removed only if every old line has one and they count up: then code is not mistaken for a number.
    """
    before = _numbered(old)
    if before is None:
        return list(old), list(new)
    matches = [_GUTTER.match(line) for line in new]
    every = all(match or not line.strip() for match, line in zip(matches, new, strict=True))
    behind = [  # (text, whether a number stood before it)
        (_text(match), True) if match and (match["sign"] or every) else (line, False)
        for match, line in zip(matches, new, strict=True)
    ]
    texts = [*before, *(text for text, numbered in behind if numbered)]
    if all(text.startswith(" ") for text in texts if text.strip()):  # the space between number and code
        return [text[1:] for text in before], [text[1:] if numbered else text for text, numbered in behind]
    return before, [text for text, _ in behind]


def _numbered(lines: Sequence[str]) -> list[str] | None:
    """Return the texts after the line numbers; None if the lines are not numbered in order."""
    texts, first = list[str](), None
    for index, line in enumerate(lines):
        match = _GUTTER.match(line)
        if match is None:
            if line.strip():
                return None
            texts.append("")
            continue
        first = int(match["number"]) - index if first is None else first
        if int(match["number"]) != first + index:
            return None
        texts.append(_text(match))
    return texts if first is not None and any(text.strip() for text in texts) else None


def _text(match: re.Match[str]) -> str:
    return match["signed"] or match["spaced"] or ""
