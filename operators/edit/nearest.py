"""Finds the part of a file that is most similar to lines that are not in it, for a helpful refusal."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Final

_SHOWN_LINES: Final = 12
_SHOWN_CHARACTERS: Final = 200
_CLOSE_LOOKS: Final = 5


def nearest(wanted: Sequence[str], lines: Sequence[str]) -> str:
    """Return the part of the file that is most similar to the wanted lines, as the end of a sentence."""
    wanted = [line[:_SHOWN_CHARACTERS] for line in wanted[:_SHOWN_LINES]]
    size = max(1, min(len(wanted), len(lines)))
    words = Counter(word for line in wanted for word in line.split())
    bags = [Counter(line[:_SHOWN_CHARACTERS].split()) for line in lines]
    shared = [
        (sum((words & sum(bags[start : start + size], Counter[str]())).values()), -start)
        for start in range(len(lines) - size + 1)
    ]
    text = "\n".join(wanted)
    candidates = [-start for _, start in sorted(shared, reverse=True)[:_CLOSE_LOOKS]]
    if not candidates:
        return "the file is empty"
    ratios = {start: _ratio(text, lines[start : start + size]) for start in candidates}
    start = max(candidates, key=lambda each: (ratios[each], -each))
    shown = [line[:_SHOWN_CHARACTERS] for line in lines[start : start + size]]
    if len(shown) == 1:
        return f"nearest is line {start + 1}: {shown[0]!r}"
    return f"nearest are lines {start + 1} to {start + len(shown)}:\n" + "\n".join(shown)


def _ratio(text: str, lines: Sequence[str]) -> float:
    theirs = "\n".join(line[:_SHOWN_CHARACTERS] for line in lines)
    return difflib.SequenceMatcher(None, text, theirs, autojunk=False).ratio()
