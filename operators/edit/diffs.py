"""Reads unified diffs and `*** Begin Patch` of a reply; line numbers may be wrong or missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from operators.edit.blocks import Found
from operators.edit.text import Block, EditError, fence_of, file_in_label, quoted, require_own_file, visible

_HUNK: Final = re.compile(
    r"@@(?:\s*-(?P<line>\d{1,9})(?:,(?P<old>\d{1,9}))?\s+\+\d{1,9}(?:,(?P<new>\d{1,9}))?\s*@@)?"
    r"(?P<rest>\s.*|@@.*)?",
    re.DOTALL,
)
_PATCH_FILE: Final = re.compile(r"\*\*\* (?P<what>Update|Add|Delete) File:\s*(?P<name>.+?)\s*")
_FILE_LINE: Final = re.compile(r"(?:---|\+\+\+) (?:[ab]/)?[\w./-]{1,200}\.[a-z]{1,9}\s*")
_DASHES: Final = frozenset("\u2010\u2011\u2012\u2013\u2014\u2212")  # what becomes of a minus in typography
_INDENTED: Final = re.compile(r"\s{0,40}([-+])[^\W\d]")
_NO_NEWLINE: Final = "\\"
_NOWHERE: Final = "/dev/null"


def diff_hunks(lines: Sequence[str], *, complete: bool = True, own: str) -> Found:
    """Return the hunks of the diffs in a reply.

    A diff in a fence labelled `diff` needs no `@@` lines; `*** Begin Patch` is understood as well.

    Args:
        lines: The reply.
        complete: Whether the reply is known to be complete; if not, a diff at its end must show its completeness.
        own: Name of the file that may be edited.
    """
    return _HunkReader(lines, complete=complete, own=own).read()


class _Hunk:
    """A hunk that is being read.

    Args:
        match: Its header; None if it has none.
    """

    def __init__(self, match: re.Match[str] | None) -> None:
        counts = match and match["line"]
        self.line = int(match["line"]) if match and counts else None
        self.old_left = int(match["old"] or 1) if match and counts else None
        self.new_left = int(match["new"] or 1) if match and counts else None
        self.anchor = (match["rest"] or "").strip(" \t@") if match else ""
        self.old, self.new = list[str](), list[str]()
        self.old_is_last = self.new_is_last = False
        self.sign = ""

    @property
    def complete(self) -> bool:
        """Whether it has as many lines as its header says; also true if the header has no numbers."""
        return (self.old_left or 0) <= 0 and (self.new_left or 0) <= 0

    @property
    def lacks_lines(self) -> bool:
        """Whether its header says that more lines follow; a header with too few is wrong anyway."""
        if self.old_left is None or self.new_left is None:
            return False
        return max(self.old_left, self.new_left) > 0 and min(self.old_left, self.new_left) >= 0

    @property
    def changes(self) -> bool:
        """Whether it has a change."""
        return self.old != self.new or self.old_is_last or self.new_is_last

    def add(self, line: str) -> None:
        """Add a line of the body; a line without a sign is context whose leading space was lost."""
        if line.startswith(_NO_NEWLINE):
            self.old_is_last |= self.sign in "- "
            self.new_is_last |= self.sign in "+ "
            return
        self.sign, text = (line[0], line[1:]) if line[:1] in ("+", "-", " ") else (" ", line)
        if self.sign in "- ":
            self.old.append(text)
            self.old_left = None if self.old_left is None else self.old_left - 1
        if self.sign in "+ ":
            self.new.append(text)
            self.new_left = None if self.new_left is None else self.new_left - 1

    def block(self, file: str | None) -> Block:
        final = False if self.new_is_last else True if self.old_is_last else None
        return Block(
            kind="hunk",
            old=tuple(self.old),
            new=tuple(self.new),
            file=file,
            line=self.line,
            final_newline=final,
            anchor=self.anchor or None,
        )


_VERSION: Final = re.compile(r"\d{1,3}\.\d{1,3}[\w.()\- ]{0,40}")


class _HunkReader:
    """Goes through the lines of a reply, and follows its fences and hunks."""

    def __init__(self, lines: Sequence[str], *, complete: bool, own: str) -> None:
        self._lines = lines
        self._complete = complete
        self._own = own
        self._found = Found([*lines])
        self._hunk: _Hunk | None = None
        self._file: str | None = None
        self._fence: re.Match[str] | None = None  # while inside
        self._created = False  # the diff creates the present file
        self._in_patch = False  # between `*** Begin Patch` and `*** End Patch`

    def read(self) -> Found:
        for number, line in enumerate(self._lines):
            structure = self._structure(number, line)
            before = self._hunk
            if not structure:
                self._content(number, line)
            if (structure and not fence_of(line)) or (before is not None and self._hunk is before) or self._hunk:
                self._found.lines[number] = ""
                self._found.last = number
        if self._hunk and self._hunk.changes:
            self._found.failure = self._cut_off(self._hunk)
        self._close()
        return self._found

    def _cut_off(self, hunk: _Hunk) -> EditError | None:
        """Return the refusal of a diff that ends with the reply and may lack some of its lines."""
        ended = self._complete or not self._lines[-1]
        if self._fence is None and not self._in_patch:
            if self._complete or ((ended or hunk.sign != "+") and not hunk.lacks_lines):
                return None
        elif self._fence is not None and hunk.line is not None and hunk.complete and ended:
            return None
        last = next((line for line in reversed(self._lines) if line.strip()), "")
        return EditError(
            f"the diff ends with the answer, at {quoted(last)}, and may have been cut off: write it to its end, "
            "in a fence that is closed"
        )

    def _structure(self, number: int, line: str) -> bool:
        """Process a line that is not the content of a hunk; return whether it was one."""
        fence = fence_of(line)
        if fence and (self._hunk is None or visible(line)[0] in "`~"):
            self._close()
            self._fence = fence if self._fence is None else None
            self._file = (fence["label"] and file_in_label(fence["label"])) or self._file
            return True
        if self._is_signature(number) or (number and self._is_signature(number - 1)):
            self._close()
            return True
        if line[:1] not in "@*-+d\ufeff\u200b" or not line:
            return False
        if self._is_file_header(number):
            self._close()
            old, new = line[4:].split("\t")[0].strip(), self._lines[number + 1][4:].split("\t")[0].strip()
            self._file, self._created = (old if new == _NOWHERE else new), old == _NOWHERE
            if new == _NOWHERE:
                self._refuse_deletion(old)
            return True
        if line.startswith("+++ ") and number and self._is_file_header(number - 1):
            return True
        bare = visible(line)
        if match := _PATCH_FILE.fullmatch(bare):
            self._close()
            self._file, self._created, self._hunk = match["name"], match["what"] == "Add", _Hunk(None)
            if match["what"] == "Delete":
                self._refuse_deletion(match["name"])
            return True
        if bare.startswith(("*** Begin Patch", "*** End", "*** Move to:", "diff --git ")):
            self._close()
            if bare.startswith("*** Move to:"):
                self._found.failure = EditError("a patch may not move the file: leave out '*** Move to:'")
            self._in_patch = bare.startswith("*** Begin") or (self._in_patch and bare.startswith("*** End of File"))
            return True
        if match := _HUNK.fullmatch(bare):
            self._close()
            self._hunk = _Hunk(match)
            return True
        return False

    def _is_signature(self, number: int) -> bool:
        """Whether `-- ` and a version begin here: the end of `git format-patch`."""
        two = self._lines[number : number + 2]
        return two[0].rstrip() == "--" and len(two) == 2 and _VERSION.fullmatch(two[1].strip()) is not None

    def _refuse_deletion(self, name: str) -> None:
        try:
            require_own_file(name, self._own)
        except EditError as error:
            self._found.failure = error
        else:
            self._found.failure = EditError("the diff deletes the file: write what replaces it")

    def _is_file_header(self, number: int) -> bool:
        """Whether `--- NAME` and `+++ NAME` begin here; within a hunk they may be content."""
        if not self._lines[number].startswith("--- "):
            return False
        three = (*self._lines[number : number + 3], "", "", "")[:3]
        if not three[1].startswith("+++ "):
            return False
        return self._hunk is None or (self._hunk.complete and three[2].startswith("@@"))

    def _content(self, number: int, line: str) -> None:
        if line[:1] in _DASHES and (self._hunk or self._in_diff_fence):
            line = f"-{line[1:]}"
        signed = line[:1] in ("+", "-", " ", _NO_NEWLINE) and line != ""
        if self._hunk is None and self._in_diff_fence and signed and line.rstrip() != "---":  # that of a mail
            self._hunk = _Hunk(None)  # models leave out the header
        if self._hunk is None:
            return
        if _FILE_LINE.fullmatch(line):
            self._found.failure = EditError(
                f"{quoted(line.strip())} stands within a hunk: the names of the files come in front of its '@@' line"
            )
        if signed or self._fence is not None or not self._hunk.complete or (not line and self._goes_on(number)):
            self._hunk.add(line)
        elif line or self._hunk.line is not None:  # prose comes after an unfenced diff
            self._close()
        else:
            self._hunk.add(line)

    def _goes_on(self, number: int) -> bool:
        """Whether the next line with something on it is one that a hunk adds: a blank line in front lost its sign."""
        return next((line for line in self._lines[number:] if line), "").startswith("+")

    @property
    def _in_diff_fence(self) -> bool:
        label = self._fence["label"].strip().lower() if self._fence else ""
        return label.split(":")[0].split(" ")[0] in ("diff", "patch", "udiff")

    def _close(self) -> None:
        hunk, self._hunk = self._hunk, None
        if hunk is None or not hunk.changes:
            if hunk and {match[1] for line in hunk.old if (match := _INDENTED.match(line))} >= {"+", "-"}:
                self._found.failure = EditError("the '+' and '-' of a diff must begin its lines: do not indent them")
            return
        if self._created and not any(line.strip() for line in hunk.old):
            try:
                require_own_file(self._file, self._own)
            except EditError as error:
                self._found.failure = error
            self._found.files.append("\n".join(hunk.new) + "\n")
        else:
            self._found.blocks.append(hunk.block(self._file))
