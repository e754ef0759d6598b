"""Reads SEARCH/REPLACE blocks of a reply, in the styles of aider, Cline, Roo and merge markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from operators.edit.gutter import without_gutters
from operators.edit.marks import Mark, marks_of
from operators.edit.text import Block, EditError, fence_of, file_in_label, file_named, quoted, visible

_DIVIDER_CHARACTERS: Final = 7
_METADATA: Final = re.compile(r"\s*:?(?P<end>start|end)_line\s*:\s*(?P<line>\d{1,9})\s*")
_DASHES: Final = re.compile(r"\s*-{3,}\s*")
_GLUED: Final = re.compile(r"-{7}(?P<text>\s*[^-\s].*)")


@dataclass(slots=True)
class Found:
    """The edits of one notation in a reply.

    Attributes:
        blocks: The edits.
        failure: Why the edits are not complete; None if they are.
        lines: The lines of the reply, with empty lines in place of the edits.
        last: Number of the last line of an edit; -1 if there is none.
        files: Whole files in this notation.
    """

    lines: list[str]
    blocks: list[Block] = field(default_factory=list)
    failure: EditError | None = None
    last: int = -1
    files: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether the reply has edits in this notation, complete or not."""
        return bool(self.blocks or self.failure)


def search_blocks(lines: Sequence[str]) -> Found:
    """Return the SEARCH/REPLACE blocks of a reply."""
    found = Found(list(lines))
    start: int | None = None
    inner, loose = list[tuple[int, Mark]](), list[int]()  # marks within this block; dividers outside of blocks
    count = 0
    try:
        for number, mark, _ in marks_of(lines):
            if start is None:
                if mark is Mark.OPEN:
                    start, inner, count = number, [], count + 1
                elif mark is Mark.DIVIDER:
                    loose.append(number)
                elif mark is Mark.CLOSE:
                    found.last = number
                    _refuse_headless(lines, number, loose)
            elif mark is Mark.OPEN:
                _refuse_unclosed(lines, start, count)
            elif mark is Mark.CLOSE:
                _take(found, lines, start, number, inner, count)
                start, loose = None, []
            else:
                inner.append((number, mark))
        if start is not None:
            end = _end_of_fence(lines, start, [number for number, mark in inner if mark is Mark.DIVIDER])
            end = _refuse_unclosed(lines, start, count) if end is None else end
            _take(found, lines, start, end, inner, count)
            found.lines[end] = lines[end]
    except EditError as error:
        found.failure = error
        found.last = max(found.last, start if start is not None else -1)
    return found


def _refuse_headless(lines: Sequence[str], number: int, loose: Sequence[int]) -> None:
    if loose:
        raise EditError(
            f"{quoted(lines[number].strip())} ends a block that does not begin with '<<<<<<< SEARCH'; "
            "write each block with its three marks"
        )


def _refuse_unclosed(lines: Sequence[str], start: int, count: int) -> NoReturn:
    raise EditError(
        f"SEARCH block {count}, which begins with {quoted(lines[start].strip())}, has no closing line "
        "'>>>>>>> REPLACE': the answer may have been cut off; write every block to its end"
    )


def _end_of_fence(lines: Sequence[str], start: int, dividers: Sequence[int]) -> int | None:
    """Return the end of the fence around an unclosed block, if it is certainly also the end of the block."""
    inside: re.Match[str] | None = None
    for line in lines[:start]:
        if fence := fence_of(line):
            inside = fence if inside is None else None if not fence["label"].strip() else inside
    if inside is None or len(dividers) != 1:
        return None
    fences = [(number, fence) for number in range(start + 1, len(lines)) if (fence := fence_of(lines[number]))]
    if not fences or fences[0][0] < dividers[0] or fences[0][1]["label"].strip():
        return None
    return fences[0][0]


def _take(
    found: Found, lines: Sequence[str], start: int, end: int, inner: Sequence[tuple[int, Mark]], count: int
) -> None:
    divider = _divider(lines, [number for number, mark in inner if mark is Mark.DIVIDER], count)
    _refuse_broken(lines, [number for number, mark in inner if mark is Mark.BROKEN], count)
    base = next((number for number, mark in inner if mark is Mark.BASE and number < divider), divider)
    old, line = _without_metadata(lines[start + 1 : base], is_looked_up=True)
    new, _ = _without_metadata(lines[divider + 1 : end])
    old, new = without_gutters(_without_fence(old), _without_fence(new))
    found.blocks.append(
        Block(kind="SEARCH block", old=tuple(old), new=tuple(new), file=_file_of_block(lines, start), line=line)
    )
    found.lines[start : end + 1] = [""] * (end + 1 - start)
    found.last = end


def _divider(lines: Sequence[str], found: Sequence[int], count: int) -> int:
    if len(found) > 1:  # the others may be content, such as a heading underlined in a docstring
        found = [number for number in found if len(visible(lines[number]).strip()) == _DIVIDER_CHARACTERS] or found
    if len(found) != 1:
        raise EditError(
            f"SEARCH block {count} must have one line '=======' between the old and the new text, got {len(found)}"
        )
    return found[0]


def _refuse_broken(lines: Sequence[str], numbers: Sequence[int], count: int) -> None:
    if numbers:
        raise EditError(
            f"SEARCH block {count} holds {quoted(lines[numbers[0]].strip())}, which is not a known mark; "
            "the marks are '<<<<<<< SEARCH', '=======' and '>>>>>>> REPLACE'"
        )


def _without_metadata(lines: Sequence[str], *, is_looked_up: bool = False) -> tuple[list[str], int | None]:
    """Return lines without `:start_line:5`, `:end_line:7` and the dashes below them, and the line that they name.

    Args:
        lines: The old or the new text of a block.
        is_looked_up: Whether the lines must be in the file. Then the first of them may follow the dashes in their line.

    Raises:
        EditError: What stands below them begins with dashes and is more than those.
    """
    rest, line = list(lines), None
    while rest and (match := _METADATA.fullmatch(rest[0])):
        line = int(match["line"]) if match["end"] == "start" else line
        del rest[0]
    if len(rest) < len(lines) and rest and _DASHES.match(rest[0]):
        if _DASHES.fullmatch(rest[0]):
            del rest[0]
        elif is_looked_up and (glued := _GLUED.fullmatch(rest[0])):
            rest[0] = glued["text"]
        else:
            raise EditError(f"{quoted(rest[0].strip())} below ':start_line:' is no known mark: leave out both")
    return rest, line


def _without_fence(lines: Sequence[str]) -> list[str]:
    if len(lines) > 1 and fence_of(lines[0]) and (last := fence_of(lines[-1])) and not last["label"]:
        return list(lines[1:-1])
    return list(lines)


def _file_of_block(lines: Sequence[str], start: int) -> str | None:
    """Return the file name beside the opening marker, or above it."""
    beside = [name for word in visible(lines[start])[:300].split() if (name := file_named(word))]
    if beside:
        return beside[0]
    for line in [line for line in lines[max(0, start - 4) : start] if line.strip()][:-3:-1]:
        fence = fence_of(line)
        name = file_named(line) if not fence else file_in_label(fence["label"])
        if name or not fence:
            return name
    return None
