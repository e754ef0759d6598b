"""Reads two fences as an edit where the prose says so: `Replace`, the present lines, `with`, the new lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from operators.edit.pieces import Piece
from operators.edit.text import Block, EditError, first_line

_PART: Final = r"(?: (?:code|lines?|version|text|function))?"
_PRESENT: Final = re.compile(
    r"(?:.*\b(?:replace|change|find|search for|swap|update|turn|modify)\b.*|"
    rf"(?:the )?(?:before|old|original|current|present|existing){_PART})\W*",
    re.IGNORECASE,
)
_NEW: Final = re.compile(
    r"(?:and )?(?:with|to|into|by|(?:replace|change|update)d? (?:it |them |this |that )?(?:with|to|by)|"
    rf"(?:the )?(?:after|new|updated|modified|changed|replacement){_PART})"
    rf"(?: (?:this|these|the following|the new))?{_PART}\W*",
    re.IGNORECASE,
)
_OR: Final = re.compile(r"\b(?:or|alternatively|instead)\b", re.IGNORECASE)
_CHARACTERS: Final = 300


def paired(pieces: Sequence[Piece], prose: Sequence[str]) -> tuple[list[Block], int, list[Piece]]:
    """Return the edits that pairs of pieces mean, the line at which the last of them begins, and the other pieces.

    Args:
        pieces: The pieces of code of a reply.
        prose: Its lines, with the pieces emptied.

    Raises:
        EditError: A further piece is another version of one of them.
    """
    blocks, rest, number, last = list[Block](), list[Piece](), 0, -1
    while number < len(pieces):
        one, other = pieces[number], pieces[number + 1] if number + 1 < len(pieces) else None
        if blocks and _OR.search(first_line(reversed(prose[: one.line]))):
            raise EditError("two fences are to take the place of one: which is meant? Send one of them")
        if other is not None and other.closed and _is_pair(one, other, prose):
            blocks.append(Block(kind="pair of fences", old=_lines(one), new=_lines(other)))
            number, last = number + 2, other.line
        else:
            rest.append(one)
            number += 1
    return blocks, last, rest


def _is_pair(one: Piece, other: Piece, prose: Sequence[str]) -> bool:
    between = [line.strip() for line in prose[one.line : other.line] if line.strip()]
    before = first_line(reversed(prose[: one.line]))
    if len(between) != 1 or len(before) > _CHARACTERS or len(between[0]) > _CHARACTERS:
        return False
    return bool(_PRESENT.fullmatch(_bare(before)) and _NEW.fullmatch(_bare(between[0])))


def _bare(line: str) -> str:
    return line.strip("*_#:>-. \t`")


def _lines(piece: Piece) -> tuple[str, ...]:
    return tuple(piece.code.rstrip("\n").split("\n"))
