"""Pieces of code in a reply: the contents of its fences, and a whole file outside of fences."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from operators.edit.elision import is_elision
from operators.edit.gutter import without_gutters
from operators.edit.skeleton import Reach, reach_of, skeleton_of
from operators.edit.text import (
    EditError,
    closes_fence,
    fence_of,
    file_above,
    file_in_label,
    file_named,
    first_line,
    folded,
    require_own_file,
    unescape,
    visible,
)
from target.program.contract import SOURCE_BYTES
from target.program.syntax import parse

_LANGUAGES: Final = frozenset(
    {"", "python", "py", "python3", "py3", "ipython", "pycon", "code", "tool_code", "tool_call"}
)
_SETTINGS: Final = frozenset({"yaml", "yml", "ini", "toml", "text", "txt", "plaintext", "properties", "env", "conf"})
_SET: Final = re.compile(r"\s*(?:[A-Z][A-Z0-9_]*\s*[:=]\s*\S.*|#.*|\[\w+\]\s*)?$")
_COLON: Final = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)\s*:\s*")
_NAMED_INSIDE: Final = re.compile(
    r"\s*#\s*(?:file(?:\s?name|\s?path)?|path)\s*:\s*(?P<name>\S{1,200})\s*", re.IGNORECASE
)
_BEGIN: Final = re.compile(r"(?:import|from)\s+\w|\"\"\"|'''|#!|[A-Z][A-Z0-9_]*\s*=|def \w|class \w|@\w")
_PIECES: Final = 200
"""Largest number of fences of code in one answer."""
_LONGER: Final = 12
"""Number of later fence lines to try as the end of a fence whose code contains fences."""
_STARTS: Final = 3
_ENDS: Final = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a reply that is code, or is labelled as code.

    Attributes:
        code: The code, if it parses; otherwise the original text.
        parses: Whether it parses.
        line: Its first line in the reply, from 0.
        closed: Whether its end is marked.
        python: Whether the reply calls it Python.
        mislabelled: Whether the reply calls it something else: then it counts if it is a whole file, and not as a part.
    """

    code: str
    parses: bool
    line: int
    closed: bool
    python: bool = True
    mislabelled: bool = False

    @property
    def begins(self) -> str:
        """Its first line, for a message."""
        return first_line(self.code.split("\n"))


def pieces_in(lines: Sequence[str], own: str) -> tuple[list[Piece], list[str]]:
    """Return the pieces of code in the fences of a reply, and its lines with all fences emptied.

    Args:
        lines: The reply.
        own: Name of the file that may be edited.

    Raises:
        EditError: A piece is labelled as another file, or there are too many pieces.
    """
    found, prose = list[Piece](), list(lines)
    tries, end = _LONGER, 0
    for start, stops, label, file in _fences(lines):
        if start < end:
            continue  # it belongs to the code before
        require_own_file(file, own)
        end = min(stops[0] + 1, len(lines))
        language = re.split(r"[:{=\s,]", label.strip().lower().lstrip("{."))[0].rstrip("}")
        if file:
            language = language if language in _LANGUAGES else "py" if file.endswith(".py") else language
        if language in _SETTINGS and stops[0] < len(lines) and all(map(_SET.match, lines[start + 1 : stops[0]])):
            prose[start] = prose[stops[0]] = ""
            for number in range(start + 1, stops[0]):  # they set constants, as in prose
                prose[number] = _COLON.sub(r"\g<name> = ", lines[number])
            continue
        if language not in _LANGUAGES and not file_named(language):
            found += _mislabelled(lines, start, stops[0])
        else:
            piece, passed, tried = _piece(lines, start, stops[: 1 + tries], python=bool(language))
            tries -= tried
            if piece is not None:
                found.append(piece)
                end = min(stops[passed] + 1, len(lines))
            if len(found) > _PIECES:
                raise EditError(f"an answer may have {_PIECES} pieces of code, got more: send one")
        prose[start:end] = [""] * (end - start)
    return found, prose


def _mislabelled(lines: Sequence[str], start: int, stop: int) -> list[Piece]:
    """Return what a fence of another language holds if it is Python all the same, for which labels are misspelt."""
    code = "\n".join(lines[start + 1 : stop]) + "\n"
    closed = stop < len(lines)
    if not any(map(_BEGIN.match, lines[start + 1 : stop])) or (closed and not parses(code)):
        return []
    if code.rstrip().rpartition("\n")[2].isidentifier():
        return []  # the end of a shell command whose beginning is missing
    return [Piece(code=code, parses=closed, line=start, closed=closed, mislabelled=True)]


def _fences(lines: Sequence[str]) -> Iterator[tuple[int, list[int], str, str | None]]:
    """Yield the start of each fence, its possible ends, its label and the file name beside it."""
    fences = [(number, match) for number, line in enumerate(lines) if (match := fence_of(line))]
    end = -1
    for position, (start, opening) in enumerate(fences):
        if start <= end:
            continue
        later = (fences[index] for index in range(position + 1, len(fences)))
        closing = (number for number, each in later if closes_fence(each, opening))  # lazily: no more than needed
        stops = [*itertools.islice(closing, _LONGER + 1)] or [len(lines)]
        above = next((line for line in reversed(lines[max(0, start - 2) : start]) if line.strip()), "")
        file = file_in_label(opening["label"]) or file_above(above) or _named_inside(lines, start + 1)
        yield start, stops, opening["label"], file
        end = stops[0]


def _named_inside(lines: Sequence[str], number: int) -> str | None:
    match = _NAMED_INSIDE.fullmatch(lines[number]) if number < len(lines) and len(lines[number]) < 300 else None
    return file_named(match["name"]) if match else None


def _piece(lines: Sequence[str], start: int, stops: Sequence[int], *, python: bool) -> tuple[Piece | None, int, int]:
    """Return the piece that begins at a fence, how many of its possible ends it passes, and how many were tried."""
    if start + 1 < stops[0] and (again := fence_of(lines[start + 1])) and again["label"].strip():
        start += 1  # the mark came twice
    first = "\n".join(lines[start + 1 : stops[0]])
    closed = stops[0] < len(lines)
    if not first.strip():
        begun = Piece(code=lines[start].strip(), parses=False, line=start, closed=False)
        return begun if python and not closed else None, 0, 0  # the answer ends where a piece should follow
    inner = [fence["label"].strip().lower() for line in lines[start + 1 : stops[0]] if (fence := fence_of(line))]
    python = python or any(label and label in _LANGUAGES for label in inner)  # one fence mark is missing, or too many
    for passed, stop in enumerate(stops):
        code = readable("\n".join(lines[start + 1 : stop]).rstrip("\n") + "\n")
        if code is not None:
            return Piece(code=code, parses=True, line=start, closed=closed, python=python), passed, passed
    code = first.rstrip("\n") + "\n"
    return Piece(code=code, parses=False, line=start, closed=closed, python=python), 0, len(stops) - 1


def readable(text: str) -> str | None:
    """Return a text as code that parses: unchanged, else without escapes, indentation, line numbers or odd signs.

    A mark for code that is left out may be a comment of another language: `// ... existing code ...`.
    """
    if len(text) > SOURCE_BYTES:
        return None
    unescaped = unescape(text)
    for reading in dict.fromkeys((text, unescaped)):
        if parses(reading):
            return reading
    numbered, _ = without_gutters(unescaped.rstrip("\n").split("\n"))
    others = (
        textwrap.dedent(unescaped),
        textwrap.dedent("\n".join(numbered) + "\n"),
        "\n".join(folded(line) for line in unescaped.split("\n")),
        "\n".join(line.replace("//", "#", 1) if is_elision(line) else line for line in unescaped.split("\n")),
    )
    return next((each for each in dict.fromkeys(others) if each not in (text, unescaped) and parses(each)), None)


def parses(code: str) -> bool:
    """Return whether a text is a program with at least one statement."""
    try:
        return bool(parse(code).body)
    except SyntaxError:
        return False


def unclosed_file(text: str, source: str) -> str | None:
    """Return the whole file at the start of a text without an end mark; None if it is not complete.

    It is complete if it ends with the last statement of the file. Prose may come after it.

    Args:
        text: Code, and perhaps prose after it.
        source: The file.
    """
    last_line = next((line.strip() for line in reversed(source.split("\n")) if line.strip()[:1] not in ("", "#")), "")
    file = skeleton_of(source)
    for reading in dict.fromkeys((text, unescape(text))):
        lines = reading.split("\n")
        stops = [number for number, line in enumerate(lines) if last_line and visible(line).strip() == last_line]
        found = list[str]()
        if any(map(fence_of, lines[stops[0] :] if stops else ())):
            return None  # another piece follows, and a mark between them is missing
        for stop in stops[-_ENDS:]:
            code = readable("\n".join(lines[: stop + 1]) + "\n")
            if code is None:
                continue
            own = skeleton_of(code)
            if own.last == file.last and reach_of(own, file) is Reach.WHOLE:
                found.append(code)
        if found:
            return found[0] if len(found) == 1 or _repeats(found[0], found[-1]) else None
    return None


def _repeats(first: str, longer: str) -> bool:
    """Whether a text is a repetition of another text."""
    rest = longer.removeprefix(first)
    return len(rest) < len(longer) and not rest.replace(first.strip(), "").strip()


def unfenced_file(lines: Sequence[str], source: str) -> tuple[str, int] | None:
    """Return a whole file outside of fences in a reply, and the line at which it begins.

    It must begin and end like the file.

    Args:
        lines: The lines of the reply outside of fences.
        source: The file.
    """
    file = skeleton_of(source)
    starts = [number for number, line in enumerate(lines) if _BEGIN.match(visible(unescape(line)) if line else "")]
    for start in starts[:_STARTS]:
        code = unclosed_file("\n".join(lines[start:]), source)
        if code is not None and (not file.keys or file.keys[0] in skeleton_of(code).keys):
            return code, start
    return None
