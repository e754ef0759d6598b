"""From a model's reply to the next `train.py`, whatever habit of formatting the model has.

Understood are SEARCH/REPLACE blocks, merge markers, unified diffs, whole files and new values of constants, among prose
and thinking. What cannot be applied for certain is refused with a reason that the model can act on; nothing is applied
by half.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from operators.edit_apply import apply_blocks
from operators.edit_parse import diff_hunks, file_in_fence, search_blocks
from operators.edit_text import (
    FENCE,
    FILE,
    EditError,
    elision,
    file_named,
    require_own_file,
    unescape,
    without_thinking,
)
from operators.edit_values import with_values
from target.syntax import parse

_LANGUAGES: Final = frozenset({"", "python", "py", "python3"})
_ESCAPED_MARKER = re.compile(r"^[ \t]*&lt;(?:&lt;){4,8}(?!&lt;)", re.MULTILINE)
_BEGIN = re.compile(r"(?:import|from)\s+\w|\"\"\"|'''|#!|[A-Z][A-Z0-9_]*\s*=|def \w|class \w|@\w")
_FENCES: Final = 400  # lines that begin or end a piece of code; no answer has so many
_TRIES: Final = 40  # ways to cut code out of prose


@dataclass(frozen=True, slots=True)
class _Fenced:
    """A fenced piece of a reply.

    Attributes:
        contents: What it holds, up to its end and up to each later one: code may hold fences itself.
        language: First word of its label.
        file: Name of the file that the reply gives it.
    """

    contents: tuple[str, ...]
    language: str
    file: str | None


def apply_reply(reply: str, source: str) -> str:
    """Return the file that a reply asks for.

    Args:
        reply: What the model answered.
        source: The file as it is.

    Raises:
        EditError: The reply holds no edit, or one that cannot be applied; the message tells the model why.
    """
    text = without_thinking(reply.replace("\r\n", "\n"))
    if _ESCAPED_MARKER.search(text):
        text = unescape(text)
    lines = text.split("\n")
    blocks = search_blocks(lines) or diff_hunks(lines)
    if not blocks:
        return _with_endings_of(source, _whole_file(text, source))
    for block in blocks:
        require_own_file(block.file)
    return apply_blocks(blocks, source)


def _whole_file(text: str, source: str) -> str:
    fenced = list(_fences(text.split("\n")))
    for each in fenced:
        require_own_file(each.file)
    named = [each for each in fenced if each.file]
    pieces = named or [each for each in fenced if each.language in _LANGUAGES]
    whole = _longest(pieces) if pieces else _unfenced(text)
    if whole is None:
        raise EditError(
            "there is no edit in the answer: neither a SEARCH/REPLACE block nor a unified diff nor the whole file "
            "nor new values of constants"
            if text.strip()
            else "the answer is empty, or nothing comes after its thinking"
        )
    values = with_values("\n".join(each.contents[0] for each in pieces) if pieces else whole, source)
    if values is not None:
        return values
    left_out = elision(whole.split("\n"), source.split("\n"))
    if left_out is not None:
        raise EditError(f"the file leaves code out ({left_out!r}), which would delete it: write every line out")
    return whole


def _longest(pieces: Sequence[_Fenced]) -> str:
    """Return the longest piece that is code, or the longest if none is."""
    longest = sorted(pieces, key=lambda piece: len(piece.contents[0]), reverse=True)[:_TRIES]
    code = [reading for piece in longest if (reading := _first_that_parses(piece))]
    return max(code or [piece.contents[0] for piece in pieces], key=len)


def _first_that_parses(piece: _Fenced) -> str | None:
    readings = (reading for content in piece.contents for reading in (content, unescape(content)))
    return next((reading for reading in readings if _parses(reading)), None)


def _fences(lines: Sequence[str]) -> Iterator[_Fenced]:
    found = ((number, match) for number, line in enumerate(lines) if (match := FENCE.fullmatch(line)))
    fences = list(itertools.islice(found, _FENCES))
    end = -1
    for position, (start, opening) in enumerate(fences):
        if start <= end:
            continue
        closing = (number for number, each in fences[position + 1 :] if _closes(each, opening))
        closes = list(itertools.islice(closing, _TRIES)) or [len(lines)]
        above = next((line for line in reversed(lines[max(0, start - 2) : start]) if line.strip()), "")
        words = opening["label"].split()
        yield _Fenced(
            contents=tuple("\n".join(lines[start + 1 : close]).rstrip("\n") + "\n" for close in closes),
            language=re.split(r"[:{=]", words[0].lower())[0] if words else "",
            file=file_in_fence(opening["label"]) or file_named(above),
        )
        end = closes[0]


def _closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    return not fence["label"].strip() and fence["ticks"].startswith(opening["ticks"])


def _unfenced(text: str) -> str | None:
    """Return the code of a reply without fences: from a line that begins like a script to where it last parses."""
    for each in dict.fromkeys((text, unescape(text))):
        lines = each.split("\n")
        starts = [number for number, line in enumerate(lines) if _BEGIN.match(line)]
        for start in starts[:3]:
            stops = [number for number in range(start + 1, len(lines)) if not lines[number].strip()]
            for stop in [len(lines), *reversed(stops[-_TRIES:])]:
                code = "\n".join(lines[start:stop])
                if _parses(code):
                    return code.rstrip("\n") + "\n"
    return None


def _parses(code: str) -> bool:
    try:
        return bool(parse(code).body)
    except SyntaxError:
        return False


def _with_endings_of(source: str, text: str) -> str:
    windows = source.count("\r\n") > source.count("\n") / 2
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if windows else text


__all__ = ["FILE", "EditError", "apply_reply"]
