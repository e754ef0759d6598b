"""Makes the edit of one program to another one: a three-way merge of their lines, or else of their constants.

We merge here instead of asking git, which most targets do without. The known Python package, merge3, has a licence
(GPL) that does not go with ours. And a merge of lines alone refuses two new values of constants in neighbouring lines,
the most frequent case here.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from target.program.program import Program
from target.program.syntax import parse


class MergeError(Exception):
    """Two edits of one program cannot be made together; the message says why."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to `stop`, without the last, of the common text and what takes their place."""

    start: int
    stop: int
    lines: tuple[str, ...]

    @property
    def line_for_line(self) -> bool:
        return len(self.lines) == self.stop - self.start


def merge(base: Program, ours: Program, theirs: Program) -> Program:
    """Return a program with both edits of a common one.

    Args:
        base: The common program.
        ours: One edit of it.
        theirs: The other one.

    Raises:
        MergeError: The edits conflict, or the result does not parse.
    """
    try:
        return Program(_parsed("".join(_merged_lines(*map(_lines, (base, ours, theirs))))))
    except MergeError as conflict:
        merged = _merged_constants(base, theirs, ours) or _merged_constants(base, ours, theirs)
        if merged is None:
            raise MergeError(str(conflict)) from None
        return merged


def _lines(program: Program) -> list[str]:
    return program.source.splitlines(keepends=True)


def _merged_lines(base: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    """Return the common lines with both edits.

    Two edits may touch only where both replace line by line: between all others there must be an unchanged line. The
    same change in both edits is made once.
    """
    changes = sorted({*_changes(base, ours), *_changes(base, theirs)}, key=lambda each: (each.start, each.stop))
    merged, done, last = list[str](), 0, None
    for change in changes:
        apart = last is None or change.start > last.stop
        touching = last is not None and change.start == last.stop and change.line_for_line and last.line_for_line
        if not (apart or touching):
            raise MergeError(f"both change line {change.start + 1} of their common parent")
        merged += [*base[done : change.start], *change.lines]
        done, last = change.stop, change
    return [*merged, *base[done:]]


def _changes(old: list[str], new: list[str]) -> list[_Change]:
    """Return the changes from one text to another; a part that is replaced line by line is one change for each line."""
    found = list[_Change]()
    for tag, start, stop, new_start, new_stop in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        change = _Change(start, stop, tuple(new[new_start:new_stop]))
        if change.line_for_line:
            pairs = enumerate(change.lines, start)
            found += [_Change(at, at + 1, (line,)) for at, line in pairs if line != old[at]]
        else:
            found.append(change)
    return found


def _parsed(source: str) -> str:
    try:
        parse(source)
    except SyntaxError as error:
        raise MergeError(f"together they do not parse: {error}") from error
    return source


def _merged_constants(base: Program, tuned: Program, other: Program) -> Program | None:
    """Return a program with the constants that another one changed; None if more changed there, or both changed one."""
    if tuned.skeleton_id != base.skeleton_id:
        return None
    before, here = base.constants, other.constants
    changed = {name: value for name, value in tuned.constants.items() if before.get(name) != value}
    if any(here.get(name) not in (before.get(name), value) or name not in here for name, value in changed.items()):
        return None
    try:
        return other.with_constants(changed)
    except (SyntaxError, ValueError):
        return None
