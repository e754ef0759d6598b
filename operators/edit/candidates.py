"""Finds the contents of a reply: edits in any notation, whole files, parts of the file, values of constants."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.edit.blocks import Found, search_blocks
from operators.edit.calls import calls_in, calls_in_prose
from operators.edit.diffs import diff_hunks
from operators.edit.foreign import Foreign
from operators.edit.gemma import with_gemma_as_json
from operators.edit.json_edits import edits_of, json_edits
from operators.edit.marks import Mark, marks_of
from operators.edit.pairs import paired
from operators.edit.pieces import Piece, pieces_in, readable, unfenced_file
from operators.edit.scripts import refuse_broken_script, script_edits
from operators.edit.sed import sed_edits
from operators.edit.sentences import values_in_sentences
from operators.edit.shell import refuse_other_commands, shell_documents
from operators.edit.skeleton import Reach, reach_of, skeleton_of
from operators.edit.tag_edits import tag_edits
from operators.edit.text import Block, EditError, first_line, quoted
from operators.edit.values import values_in_prose, with_types_of

_CHARACTERS: Final = 600_000
"""Largest length of an answer, without thinking: two programs of maximal size, and some prose."""
_LINES: Final = 40_000
_HALF_EDIT: Final = re.compile(
    r"[\"'](?:old|new|search|find)[\"']\s{0,9}:|\b(?:old|new|search|find)_?(?:str|string|text|code)[\"']?\s{0,9}[:=]|"
    r"\bcall:\w{1,60}\{|<\|\"\|>|\.write(?:_text)?\(|\bopen\([^()]{1,100}[\"']w[\"']"
)
"""What shows that a call of a tool, an edit as JSON, or a script that writes a file stands in a line."""
_HUNK: Final = re.compile(r"\s{0,40}@@ -\d{1,9}\D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The contents of a reply.

    Attributes:
        blocks: Edits that name the text they replace, in all notations together.
        failure: Why those edits are not complete; None if they are.
        last_edit: Line of the reply at which the last of these edits ends; -1 if there is none.
        pieces: Pieces of code, in the order of the reply.
        values: Values of constants in prose, as code; None if there are none.
        remains: A line that looks like part of an edit, but belongs to no complete one; empty if there is none.
        shown: What was found, for a refusal.
    """

    blocks: tuple[Block, ...] = ()
    failure: EditError | None = None
    last_edit: int = -1
    pieces: tuple[Piece, ...] = ()
    values: str | None = None
    remains: str = ""
    shown: str = ""


@dataclass(slots=True)
class _Gathered:
    blocks: list[Block] = field(default_factory=list)
    failure: EditError | None = None
    last: int = -1
    files: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, found: Found) -> list[str]:
        self.blocks += found.blocks
        self.failure = self.failure or found.failure
        self.last = max(self.last, found.last if found.any else -1)
        self.files += found.files
        return found.lines

    @contextlib.contextmanager
    def failing(self, text: str) -> Iterator[None]:
        """Keep a refusal as that of all edits of the reply, wherever in the text it comes from."""
        try:
            yield
        except EditError as error:
            self.failure = self.failure or error
            self.last = text.count("\n")

    def as_pieces(self, source: str) -> list[Piece]:
        """Return the files and values that were found as pieces of code, and forget them here."""
        codes = [each.rstrip("\n") + "\n" for each in self.files]
        codes += [with_types_of(each, source) for each in self.values]
        self.files, self.values = [], []
        return [
            Piece(code=readable(code) or code, parses=readable(code) is not None, line=self.last, closed=True)
            for code in codes
        ]


def candidates_in(text: str, source: str, *, complete: bool, own: str) -> Candidates:
    """Return the contents of a reply.

    Args:
        text: The reply, cleaned and without thinking.
        source: The present file.
        complete: Whether the reply is known to be complete.
        own: Name of the file.

    Raises:
        EditError: It is empty or too long, or a piece of it belongs to another file.
    """
    if not text.strip():
        raise EditError("the answer is empty, or has nothing after its thinking")
    if len(text) > _CHARACTERS or text.count("\n") > _LINES:
        raise EditError(
            f"an answer may have {_CHARACTERS} characters and {_LINES} lines, thinking left out, "
            f"got {len(text)} and {text.count(chr(10))}"
        )
    gathered = _Gathered()
    text = _commands(text, gathered, source, own)
    text = "\n".join(_explicit(text.split("\n"), gathered, complete=complete, own=own))
    text = _foreign(text, gathered, own)
    lines = text.split("\n")
    pieces, prose = pieces_in(lines, own)
    pieces = _programs([*pieces, *gathered.as_pieces(source)], prose, gathered, source, own) + gathered.as_pieces(
        source
    )
    unfenced = unfenced_file(prose, source) if not gathered.blocks and gathered.failure is None else None
    if unfenced is not None:
        code, line = unfenced
        pieces.append(Piece(code=code, parses=True, line=line, closed=True))
    remains = _remains(lines, prose)
    values = None
    if not pieces and not gathered.blocks and gathered.failure is None and not remains:
        values = values_in_prose(prose, source, complete=complete)
        if values is None and complete:
            values = values_in_sentences(prose, source)
    return Candidates(
        blocks=tuple(gathered.blocks),
        failure=gathered.failure,
        last_edit=gathered.last,
        pieces=tuple(sorted(pieces, key=lambda piece: piece.line)),
        values=values,
        remains=remains,
        shown=_shown(pieces, prose if first_line(prose) else lines, remains),
    )


def _commands(text: str, gathered: _Gathered, source: str, own: str) -> str:
    """Extract shell commands from a text."""
    with gathered.failing(text):
        found, text = shell_documents(text, own)
        _take(found, gathered, last=text.count("\n"), own=own)
        found, text = sed_edits(text, source, own)
        _take(found, gathered, last=text.count("\n"), own=own)
        refuse_other_commands(text, own)
    return text


def _explicit(lines: Sequence[str], gathered: _Gathered, *, complete: bool, own: str) -> list[str]:
    """Extract SEARCH/REPLACE blocks and diffs from lines."""
    rest = gathered.add(search_blocks(lines))
    return gathered.add(diff_hunks(rest, complete=complete, own=own))


def _foreign(text: str, gathered: _Gathered, own: str) -> str:
    """Extract JSON and tags from a text."""
    with gathered.failing(text):
        found, text = json_edits(with_gemma_as_json(text))
        _take(found, gathered, last=text.count("\n"), own=own)
        found, text = tag_edits(text)
        _take(found, gathered, last=text.count("\n"), own=own)
    return text


def _programs(pieces: Sequence[Piece], prose: list[str], gathered: _Gathered, source: str, own: str) -> list[Piece]:
    """Return the pieces that are no calls of tools, no scripts that edit the file, and no pairs of old and new text.

    Edits are gathered; the lines of calls in the prose become empty.
    """
    rest = list[Piece]()
    with gathered.failing("\n".join(prose)):
        for start, stop, calls in calls_in_prose(prose):
            _take(edits_of(calls), gathered, last=start, own=own)
            prose[start:stop] = [""] * (stop - start)
        blocks, last, pieces = paired(pieces, prose)
        _take(Foreign(blocks=blocks), gathered, last=last, own=own)
        if blocks and any(_is_part(piece, source) for piece in pieces):
            raise EditError(
                "some fences are pairs of present and new lines, and another one is not: send only one kind"
            )
        for piece in pieces:
            found = _edits_in(piece, own)
            if found is None:
                rest.append(piece)
            else:
                _take(found, gathered, last=piece.line, own=own)
    return rest


def _is_part(piece: Piece, source: str) -> bool:
    return not piece.parses or reach_of(skeleton_of(piece.code), skeleton_of(source)) is not Reach.WHOLE


def _edits_in(piece: Piece, own: str) -> Foreign | None:
    """Return the edits of a piece that is a program of its own and no part of the file; None for any other piece."""
    if not piece.parses:
        refuse_broken_script(piece.code, own)
        return None
    calls = calls_in(piece.code)
    return edits_of(calls) if calls else script_edits(piece.code, own)


def _take(found: Foreign, gathered: _Gathered, *, last: int, own: str) -> None:
    gathered.blocks += found.blocks
    gathered.values += found.values
    for each in found.files:
        pieces, _ = pieces_in(each.split("\n"), own)
        gathered.files += [piece.code for piece in pieces] or [each]
    for each in found.texts:
        written, _ = shell_documents(each, own)
        gathered.files += written.files
        _explicit(each.split("\n"), gathered, complete=True, own=own)
    if found.blocks or found.texts:
        gathered.last = last


def _remains(lines: Sequence[str], prose: Sequence[str]) -> str:
    """Return a line that remains of an unreadable edit."""
    for number, mark, _ in marks_of(lines):
        if mark in (Mark.OPEN, Mark.CLOSE, Mark.BROKEN):
            return lines[number].strip()
    if hunk := next((line.strip() for line in lines if "@@ -" in line and _HUNK.match(line)), ""):
        return hunk
    return next((line.strip() for line in prose if _HALF_EDIT.search(line[:2_000])), "")


def _shown(pieces: Sequence[Piece], prose: Sequence[str], remains: str) -> str:
    """Return what was found in a reply, as the end of a sentence."""
    if remains:
        return f"found was {quoted(remains)}, which belongs to no complete edit"
    if pieces:
        piece = pieces[-1]
        lines = piece.code.rstrip("\n").count("\n") + 1
        return f"found was a piece of {lines} lines that begins {quoted(piece.begins)}"
    return f"found was text that begins {quoted(first_line(prose))}" if first_line(prose) else ""
