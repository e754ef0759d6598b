"""Chooses one program among all possible meanings of a reply, by a rule; an ambiguous reply is refused.

1. Edits that name the text they replace are applied together. A whole file beside them must be the same program, unless
   the edits do not apply and the file comes after them.
2. Otherwise whole files count: those equal to the parent are ignored, and the last one is used.
3. Otherwise parts of the file replace the definitions of the same names. If the parts, joined in order, are also a
   whole file, that must be the same program.
4. Otherwise values of constants on separate lines count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from operators.edit.apply import apply_blocks
from operators.edit.candidates import Candidates
from operators.edit.elision import missing_code
from operators.edit.fragments import ADVICE, with_fragments
from operators.edit.locate import TRIVIAL_CHARACTERS
from operators.edit.pieces import Piece, parses, unclosed_file
from operators.edit.skeleton import Reach, Skeleton, reach_of, skeleton_of
from operators.edit.text import Block, EditError, folded, quoted, require_own_file, with_endings_of
from target.program import Program

_NO_EDIT: Final = "there is no edit in the answer"
_EDITS: Final = "an edit is a SEARCH/REPLACE block, a unified diff, the whole file, or new values of constants"


def chosen(candidates: Candidates, source: str, own: str) -> str:
    """Return the program that a reply means.

    Args:
        candidates: The contents of the reply.
        source: The present file.
        own: Its name.

    Raises:
        EditError: It means no program, or is ambiguous.
    """
    for block in candidates.blocks:
        require_own_file(block.file, own)
    file = skeleton_of(source)
    whole = _whole_files(candidates, source, file)
    if candidates.blocks or candidates.failure:
        return _edited(candidates, whole, source)
    if whole:
        return whole[-1][1]
    if candidates.remains:
        raise _no_edit(candidates)
    code = [piece for piece in candidates.pieces if piece.parses and not piece.mislabelled]
    unreadable = [piece for piece in candidates.pieces if not piece.parses and piece.python]
    if unreadable and (not code or unreadable[-1].line > code[-1].line):
        raise _syntax(unreadable[-1])
    quoting = [piece for piece in candidates.pieces if not piece.parses and _has_line_of(piece, source)]
    if code and quoting:
        raise _syntax(quoting[-1])
    if code:
        return _from_parts(code, source, file)
    if candidates.values is not None:
        return with_fragments([candidates.values], source)
    raise _no_edit(candidates)


def _no_edit(candidates: Candidates) -> EditError:
    shown = f"{candidates.shown}; " if candidates.shown else ""
    return EditError(f"{_NO_EDIT}: {shown}{_EDITS}")


def _whole_files(candidates: Candidates, source: str, file: Skeleton) -> list[tuple[int, str]]:
    """Return the whole files of a reply that differ from the parent, with their lines.

    If all of them equal the parent, the last one is returned.

    Raises:
        EditError: The last one is cut off, leaves code out, or is the file twice.
    """
    found = list[tuple[int, str]]()
    refused: tuple[int, EditError] | None = None
    for piece in candidates.pieces:
        if not piece.closed and piece.mislabelled and not _resembles(piece, source):
            continue
        if not piece.closed:
            code = unclosed_file(piece.code, source)
            if code is None and (not piece.parses or reach_of(skeleton_of(piece.code), file) is not Reach.FRAGMENT):
                refused = piece.line, _cut_off(piece)
            elif code is not None:
                found.append((piece.line, code))
        elif piece.parses and reach_of(skeleton_of(piece.code), file) is Reach.WHOLE:
            left_out = missing_code(source.split("\n"), piece.code.split("\n"), source.split("\n"))
            if skeleton_of(piece.code).ends_twice(file):
                refused = piece.line, EditError("a piece of code holds the file twice: send it once, in one fence")
            elif left_out is None:
                found.append((piece.line, piece.code))
            else:
                refused = piece.line, _left_out(left_out)
        elif not piece.parses and _is_long(piece, source) and (piece.python or _resembles(piece, source)):
            refused = piece.line, _syntax(piece)
    if refused and (not found or refused[0] > found[-1][0]):
        if candidates.blocks and refused[0] < candidates.last_edit:
            return []
        raise refused[1]
    found = [(line, with_endings_of(source, code)) for line, code in found]
    others = [each for each in found if not _same(each[1], source)]
    return others or (found[-1:] if not _has_parts(candidates, file) else [])


def _has_parts(candidates: Candidates, file: Skeleton) -> bool:
    """Whether there are pieces that are not whole files."""
    if candidates.blocks or candidates.failure:
        return True
    return any(
        piece.parses and not piece.mislabelled and reach_of(skeleton_of(piece.code), file) is not Reach.WHOLE
        for piece in candidates.pieces
    )


def _has_line_of(piece: Piece, source: str) -> bool:
    """Whether a line of the file stands in a piece: then it is no log and no prose, whatever its label."""
    lines = {line.strip() for line in source.split("\n") if len(line.strip()) > TRIVIAL_CHARACTERS}
    return any(line.strip() in lines for line in piece.code.split("\n"))


def _is_long(piece: Piece, source: str) -> bool:
    return 2 * piece.code.count("\n") >= source.count("\n")


def _resembles(piece: Piece, source: str) -> bool:
    """Whether half of the lines of the file stand in a piece."""
    lines = {line.strip() for line in source.split("\n")} - {""}
    return 2 * len(lines & {line.strip() for line in piece.code.split("\n")}) >= len(lines)


def _edited(candidates: Candidates, whole: Sequence[tuple[int, str]], source: str) -> str:
    try:
        if candidates.failure:
            raise candidates.failure
        result = _applied(candidates.blocks, source)
    except EditError:
        if whole and whole[-1][0] > candidates.last_edit:
            return whole[-1][1]
        raise
    if whole and not _same(whole[-1][1], result):
        raise EditError(
            "the answer has edits and a whole file that is a different program from their result: send only one of them"
        )
    if candidates.remains:
        raise EditError(f"a part of the answer cannot be read: {candidates.shown}")
    return result


def _applied(blocks: Sequence[Block], source: str) -> str:
    """Return the file with the blocks replaced; use plain characters in the new text if it parses only then."""
    result = apply_blocks(blocks, source)
    if all(line.isascii() for block in blocks for line in block.new) or parses(result) or not parses(source):
        return result
    plain = [
        replace(block, new=tuple(line if line in block.old else folded(line) for line in block.new)) for block in blocks
    ]
    other = apply_blocks(plain, source)
    return other if parses(other) else result


def _from_parts(code: Sequence[Piece], source: str, file: Skeleton) -> str:
    for piece in code:
        if not piece.closed:
            raise _cut_off(piece)
        if reach_of(skeleton_of(piece.code), file) is Reach.UNCLEAR:
            raise EditError(
                f"the code that begins {quoted(piece.begins)} may be a whole file or a part of the file: {ADVICE}"
            )
    texts = [piece.code for piece in code]
    joined = "\n".join(texts)
    together = (
        joined if len(texts) > 1 and parses(joined) and reach_of(skeleton_of(joined), file) is Reach.WHOLE else None
    )
    try:
        result = with_fragments(texts, source)
    except EditError as error:
        if together is None:
            raise
        raise EditError(
            f"the answer has {len(texts)} pieces of code, which may be one file or parts of it: "
            "send the whole file in one fence"
        ) from error
    if together is not None and not _same(together, result):
        raise EditError(
            f"the answer has {len(texts)} pieces of code; joined in order they are a different program than as "
            "replacements of the definitions of the same names: send the whole file in one fence"
        )
    return result


def _same(one: str, other: str) -> bool:
    return one == other or Program(one).id == Program(other).id


def _cut_off(piece: Piece) -> EditError:
    last = next((line for line in reversed(piece.code.split("\n")) if line.strip()), "")
    return EditError(
        f"the piece of code at the end of the answer is not closed: its last line is {quoted(last.strip())}; it may "
        "have been cut off. Write it to its end, and close the fence"
    )


def _left_out(line: str) -> EditError:
    return EditError(f"the file leaves code out ({line!r}), which would delete it: write every line out")


def _syntax(piece: Piece) -> EditError:
    import ast

    try:
        ast.parse(piece.code)
    except SyntaxError as error:
        where = f"line {error.lineno}: {error.msg}" + (f": {quoted((error.text or '').strip())}" if error.text else "")
    except (ValueError, RecursionError, MemoryError) as error:
        where = str(error)
    else:
        where = "it holds no statement"
    return EditError(f"the code in the answer is not valid Python: syntax: {where}; {ADVICE}")
