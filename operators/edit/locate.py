"""Finds the lines of a block in a file.

They are compared exactly, else up to white space, else up to typographic characters, else without their comments.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from operators.edit.text import Block, folded

TRIVIAL_CHARACTERS: Final = 5
"""Longest line that any text may have, such as `else:`."""
_TAB_COLUMNS: Final = 4
_BEFORE_COMMENT: Final = re.compile(r"""(?:[^"'#\s]|\s+(?![\s#])|(?<=\S)#|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*""")
_ASSIGNED: Final = re.compile(r"\s*(?P<name>[A-Za-z_][\w.]*)\s*(?::[^=]*)?=(?!=)")


class AmbiguousError(Exception):
    """The old lines are in the file more than once; `places` has the first line of each, counted from 0."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.places = places


class Lines:
    """The lines of a file, with an index for each way to compare them.

    Args:
        texts: The lines, without their endings.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self._forms = dict[Callable[[str], str], tuple[list[str], dict[str, list[int]]]]()

    def places(self, old: Sequence[str], form: Callable[[str], str]) -> list[int]:
        """Return the places of these lines in the file; `form` normalises each line for the comparison."""
        present, index = self._indexed(form)
        wanted = [form(line) for line in old]
        rarest = min(range(len(wanted)), key=lambda number: len(index.get(wanted[number], ())))
        starts = (place - rarest for place in index.get(wanted[rarest], ()))
        size = len(wanted)
        return [start for start in starts if start >= 0 and present[start : start + size] == wanted]

    def _indexed(self, form: Callable[[str], str]) -> tuple[list[str], dict[str, list[int]]]:
        if form not in self._forms:
            present = [form(line) for line in self.texts]
            index = dict[str, list[int]]()
            for number, line in enumerate(present):
                index.setdefault(line, []).append(number)
            self._forms[form] = present, index
        return self._forms[form]


def exactly(line: str) -> str:
    """Return a line unchanged."""
    return line


def to_trailing_space(line: str) -> str:
    """Return a line without the space at its end."""
    return line.rstrip()


def to_white_space(line: str) -> str:
    """Return a line with single spaces between its words."""
    return " ".join(line.split())


def to_typography(line: str) -> str:
    """Return a line with single spaces, and one form of each typographic character."""
    return " ".join(folded(line).split())


def to_code(line: str) -> str:
    """Return the code of a line, without white space and without the comment behind it."""
    return "".join(folded(_parted(line)[0]).split())


FORMS: Final = (exactly, to_trailing_space, to_white_space, to_typography)


def _parted(line: str) -> tuple[str, str]:
    """Return the code of a line, and the comment behind it with the white space before it; a comment alone is code."""
    match = _BEFORE_COMMENT.match(line)
    code = match[0] if match else ""
    if not code.strip() or not line[len(code) :].lstrip().startswith("#"):
        return line, ""
    return code, line[len(code) :]


def with_comments(new: Sequence[str], quoted: Sequence[str], present: Sequence[str]) -> list[str]:
    """Return new lines with the comments of the file that the model did not quote, where it assigns the same name.

    A comment that the model changed is the model's.

    Args:
        new: The model's new lines.
        quoted: The old lines as the model wrote them.
        present: The lines of the file at that place, one for each quoted line.
    """
    left = dict[str, tuple[str, str]]()
    for ours, theirs in zip(quoted, present, strict=True):
        if match := _ASSIGNED.match(ours):
            left[match["name"]] = _parted(ours)[1], _parted(theirs)[1]
    found = list[str]()
    for line in new:
        match = _ASSIGNED.match(line)
        code, comment = _parted(line)
        before, there = left.get(match["name"], ("", "")) if match else ("", "")
        found.append(code.rstrip() + there if there and comment.strip() == before.strip() else line)
    return found


def find(block: Block, lines: Lines, form: Callable[[str], str]) -> list[tuple[int, dict[str, str]]]:
    """Return the places of a block, from 0, each with the file's indentation for each quoted indentation.

    Raises:
        AmbiguousError: There are several places, and nothing shows which is meant.
    """
    places = list[tuple[int, dict[str, str]]]()
    trivial = all(len(line.strip()) <= TRIVIAL_CHARACTERS for line in block.old)  # says nothing but its indentation
    for start in lines.places(block.old, form):
        meaning = _indents(block.old, lines.texts[start : start + len(block.old)])
        if meaning is not None and not (trivial and any(ours != theirs for ours, theirs in meaning.items())):
            places.append((start, meaning))
    if len(places) > 1 and not block.everywhere:
        places = _meant(block, places, lines)
    if len(places) > 1 and not block.everywhere:
        raise AmbiguousError([start for start, _ in places])
    return places


def _meant(block: Block, places: list[tuple[int, dict[str, str]]], lines: Lines) -> list[tuple[int, dict[str, str]]]:
    """Return the places that agree with the line number or the anchor of a block."""
    if block.line is not None and (named := [each for each in places if each[0] == block.line - 1]):
        return named
    if not block.anchor:
        return places
    anchors = [number for number, text in enumerate(lines.texts) if text.strip() == block.anchor.strip()]
    if len(anchors) != 1:
        return places
    first, depth = anchors[0], _depth(lines.texts[anchors[0]])
    behind = range(first + 1, len(lines.texts))
    stop = next((n for n in behind if lines.texts[n].strip() and _depth(lines.texts[n]) <= depth), len(lines.texts))
    return [each for each in places if first < each[0] < stop] or places


def _depth(line: str) -> int:
    return len(indentation(line))


def _indents(quoted: Sequence[str], present: Sequence[str]) -> dict[str, str] | None:
    """Return the file's indentation for each quoted indentation; None if one corresponds to two."""
    meaning = dict[str, str]()
    for ours, theirs in zip(quoted, present, strict=True):
        if ours.strip() and meaning.setdefault(indentation(ours), indentation(theirs)) != indentation(theirs):
            return None
    return meaning


def indentation(line: str) -> str:
    """Return the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def fitted(line: str, meaning: dict[str, str], present: Sequence[str], *, typographic: bool) -> str:
    """Return a new line in the form in which it goes into the file.

    Args:
        line: The line as the model wrote it.
        meaning: The file's indentation for each indentation that the model quoted.
        present: Lines of the file at that place.
        typographic: Whether the model's typographic characters differ from the file's.
    """
    if typographic and not line.isascii() and all(unicodedata.is_normalized("NFC", each) for each in present):
        line = unicodedata.normalize("NFC", line)
    return _indent_like(line, meaning)


def _indent_like(line: str, meaning: dict[str, str]) -> str:
    """Return a new line with the file's indentation in place of the model's."""
    own = indentation(line)
    if all(quoted == there for quoted, there in meaning.items()) or not line.strip():
        return line
    known = max((quoted for quoted in meaning if own.startswith(quoted)), key=len, default=None)
    if known is not None:
        deeper = own[len(known) :]
        if "\t" in deeper and not any("\t" in there for there in meaning.values()):
            deeper = deeper.replace("\t", meaning.get("\t") or " " * _TAB_COLUMNS)
        return meaning[known] + deeper + line.lstrip()
    shallowest = min(meaning, key=len)  # the line is less indented than all quoted lines
    return meaning[shallowest].removesuffix(shallowest.removeprefix(own)) + line[len(own) :]
