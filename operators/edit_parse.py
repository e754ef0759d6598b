"""From a model's reply to blocks of old and new lines: SEARCH/REPLACE, merge markers and unified diffs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from operators.edit_text import FENCE, Block, EditError, file_named

_OPEN = re.compile(r"\s*(?:<{5,9}(?P<label>[^<].*)?|-{5,9}\s*SEARCH\b(?P<other>.*))")
_BASE = re.compile(r"\s*\|{5,9}(?:[^|].*)?")
_DIVIDER = re.compile(r"\s*={5,9}\s*")
_CLOSE = re.compile(r"\s*(?:>{5,9}(?:[^>].*)?|\+{5,9}\s*REPLACE\b.*)")
_DIVIDER_CHARACTERS: Final = 7

_HUNK = re.compile(
    r"@@(?:\s*-(?P<line>\d{1,9})(?:,(?P<old>\d{1,9}))?\s+\+\d+(?:,(?P<new>\d{1,9}))?\s*@@)?(?:\s.*|@@.*)?"
)
_PATCH_FILE = re.compile(r"\*\*\* (?:Update|Add|Delete) File:\s*(?P<name>\S.*)")
_NO_NEWLINE: Final = "\\"


def search_blocks(lines: Sequence[str]) -> list[Block]:
    """Return the SEARCH/REPLACE blocks of a reply, in aider's or in the merge-marker style; none if there are none.

    Raises:
        EditError: A block is begun and not completed.
    """
    opens = [number for number, line in enumerate(lines) if _OPEN.fullmatch(line)]
    closes = [number for number, line in enumerate(lines) if _CLOSE.fullmatch(line)]
    if not opens or not any(_DIVIDER.fullmatch(line) for line in lines):
        return []
    blocks = list[Block]()
    for count, start in enumerate(opens):
        limit = opens[count + 1] if count + 1 < len(opens) else len(lines)
        end = next((number for number in closes if start < number < limit), None)
        if end is None:
            raise EditError(f"SEARCH block {count + 1} of {len(opens)} has no closing line '>>>>>>> REPLACE'")
        divider = _divider(lines[start + 1 : end], f"SEARCH block {count + 1} of {len(opens)}") + start + 1
        old = list(lines[start + 1 : divider])
        base = next((number for number, line in enumerate(old) if _BASE.fullmatch(line)), len(old))
        blocks.append(
            Block(
                kind="SEARCH block",
                old=_without_fence(old[:base]),
                new=_without_fence(lines[divider + 1 : end]),
                file=_file_of_block(lines, start),
            )
        )
    return blocks


def _divider(lines: Sequence[str], name: str) -> int:
    found = [number for number, line in enumerate(lines) if _DIVIDER.fullmatch(line)]
    if len(found) > 1:  # the others may be content, such as a heading underlined in a docstring
        found = [number for number in found if len(lines[number].strip()) == _DIVIDER_CHARACTERS] or found
    if len(found) != 1:
        raise EditError(f"{name} must have one line '=======' between the old and the new text, got {len(found)}")
    return found[0]


def _without_fence(lines: Sequence[str]) -> tuple[str, ...]:
    if len(lines) > 1 and FENCE.fullmatch(lines[0]) and (last := FENCE.fullmatch(lines[-1])) and not last["label"]:
        lines = lines[1:-1]
    return tuple(lines)


def _file_of_block(lines: Sequence[str], start: int) -> str | None:
    """Return the name of the file that stands beside the opening marker, or above it."""
    match = _OPEN.fullmatch(lines[start])
    assert match is not None, "called for opening markers only"
    label = match["label"] or match["other"] or ""
    beside = [name for word in label.split() if (name := file_named(word))]
    if beside:
        return beside[0]
    for line in [line for line in lines[max(0, start - 4) : start] if line.strip()][:-3:-1]:
        fence = FENCE.fullmatch(line)
        name = file_named(line) if not fence else file_in_fence(fence["label"])
        if name or not fence:
            return name
    return None


def file_in_fence(label: str) -> str | None:
    """Return the name of a file in the label of a fence, as in `python:train.py` or `py title="train.py"`."""
    words = re.split(r"[\s:={}]+", label)
    return next((name for word in words if (name := file_named(word))), None)


def diff_hunks(lines: Sequence[str]) -> list[Block]:
    """Return the hunks of the unified diffs in a reply; line numbers and counts may be wrong, or missing.

    A diff in a fence labelled `diff` needs no `@@` lines; `*** Begin Patch` is understood as well.
    """
    reader = _HunkReader(lines)
    return reader.read()


class _Hunk:
    """A hunk as it grows.

    Args:
        match: Its header; None if it has none.
    """

    def __init__(self, match: re.Match[str] | None) -> None:
        counts = match and match["line"]
        self.line = int(match["line"]) if match and counts else None
        self.old_left = int(match["old"] or 1) if match and counts else None
        self.new_left = int(match["new"] or 1) if match and counts else None
        self.old, self.new = list[str](), list[str]()
        self.old_is_last = self.new_is_last = False
        self._sign = ""

    @property
    def complete(self) -> bool:
        """Whether it has as many lines as its header says; also true if that says nothing."""
        return (self.old_left or 0) <= 0 and (self.new_left or 0) <= 0

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.old != self.new or self.old_is_last or self.new_is_last

    def add(self, line: str) -> None:
        """Take a line of the body; one without a sign is context whose leading space got lost."""
        if line.startswith(_NO_NEWLINE):
            self.old_is_last |= self._sign in "- "
            self.new_is_last |= self._sign in "+ "
            return
        self._sign, text = (line[0], line[1:]) if line[:1] in ("+", "-", " ") else (" ", line)
        if self._sign in "- ":
            self.old.append(text)
            self.old_left = None if self.old_left is None else self.old_left - 1
        if self._sign in "+ ":
            self.new.append(text)
            self.new_left = None if self.new_left is None else self.new_left - 1

    def block(self, file: str | None) -> Block:
        final = False if self.new_is_last else True if self.old_is_last else None
        return Block(
            kind="hunk", old=tuple(self.old), new=tuple(self.new), file=file, line=self.line, final_newline=final
        )


class _HunkReader:
    """Walks through a reply, in and out of fences and hunks."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._blocks = list[Block]()
        self._hunk: _Hunk | None = None
        self._file: str | None = None
        self._fence: str | None = None  # its label, while inside

    def read(self) -> list[Block]:
        for number, line in enumerate(self._lines):
            if not self._structure(number, line):
                self._content(line)
        self._close()
        return self._blocks

    def _structure(self, number: int, line: str) -> bool:
        """Follow a line that is not the content of a hunk; return whether it was one."""
        fence = FENCE.fullmatch(line)
        if fence and (self._hunk is None or line[0] in "`~"):
            self._close()
            self._fence = fence["label"].strip().lower() if self._fence is None else None
            self._file = (fence["label"] and file_in_fence(fence["label"])) or self._file
            return True
        if self._is_file_header(number):
            self._close()
            old, new = line[4:].split("\t")[0].strip(), self._lines[number + 1][4:].split("\t")[0].strip()
            self._file = old if new == "/dev/null" else new
            return True
        if line.startswith("+++ ") and number and self._is_file_header(number - 1):
            return True
        if match := _PATCH_FILE.fullmatch(line):
            self._close()
            self._file, self._hunk = match["name"].strip(), _Hunk(None)
            return True
        if line.startswith(("*** Begin Patch", "*** End", "diff --git ")):
            self._close()
            return True
        if match := _HUNK.fullmatch(line):
            self._close()
            self._hunk = _Hunk(match)
            return True
        return False

    def _is_file_header(self, number: int) -> bool:
        """Whether `--- NAME` and `+++ NAME` begin here; within a hunk they may be content."""
        three = (*self._lines[number : number + 3], "", "", "")[:3]
        if not (three[0].startswith("--- ") and three[1].startswith("+++ ")):
            return False
        return self._hunk is None or (self._hunk.complete and three[2].startswith("@@"))

    def _content(self, line: str) -> None:
        signed = line[:1] in ("+", "-", " ", _NO_NEWLINE) and line != ""
        if self._hunk is None and self._fence in ("diff", "patch") and signed:
            self._hunk = _Hunk(None)  # models leave out the header
        if self._hunk is None:
            return
        if signed or self._fence is not None or not self._hunk.complete:
            self._hunk.add(line)
        elif line or self._hunk.line is not None:  # prose comes after an unfenced diff
            self._close()
        else:
            self._hunk.add(line)

    def _close(self) -> None:
        if self._hunk and self._hunk.changes:
            self._blocks.append(self._hunk.block(self._file))
        self._hunk = None
