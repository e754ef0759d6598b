"""Text as models send it: lines and their endings, thinking aloud, escapes, code left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

FILE: Final = "train.py"
"""The one file that may be edited."""

FENCE: Final = re.compile(r"[ \t]*(?P<ticks>`{3,}|~{3,})[ \t]*(?P<label>[^`]*)")
"""A line that begins or ends a fenced block of Markdown."""

_NAME_CHARACTERS: Final = 200
_ELISION_CHARACTERS: Final = 400
_THOUGHT = re.compile(
    r"^[ \t]*<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
_END_OF_THOUGHT = re.compile(
    r"\A.*(?:^[ \t]*</(?:think|thinking|thought|reasoning)>|</(?:think|thinking|thought|reasoning)>[ \t]*$)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|apos|#0?39|#x27);")
_ELISIONS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:\.{3}|…)",
        r"(?:#|//)\s*[\[(<]?\s*(?:\.{3}|…).*",
        r"(?:#|//).*\b(?:rest|remaining|existing|same|unchanged|omitted|previous|other)\b.*(?:\.{3}|…)\s*[\])>]?",
        r"(?:#|//)\s*[\[(<]?\s*(?:the\s+)?(?:rest|remainder|remaining|existing)\b.*"
        r"\b(?:code|file|unchanged|same|before|above|here|omitted)\W*",
        r"(?:#|//)\s*[\[(<]?\s*(?:unchanged|omitted|same as (?:before|above)|no changes?)\W*",
    )
)
_FILE_NAME = re.compile(
    r"""[\s>#*_`'"]*(?:(?:in|file(?:\s*name)?|path)\s*:?\s*[*`'"]*)?"""
    r"""(?P<name>[\w./\\~-]*\w\.(?:py|md|txt|json|ya?ml|toml|cfg|ini|sh|c|cpp|cu|h|js|ts|lock))[\s*_`'":]*""",
    re.IGNORECASE,
)


class EditError(ValueError):
    """What a model sent is no edit of this file; the message is feedback that it can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines to be found, and the lines that take their place.

    Attributes:
        kind: What the model calls it.
        old: Lines that must be in the file, without their endings.
        new: Lines that replace them.
        file: Name of the file that the model gave; None if it gave none.
        line: Where the model says that `old` begins, from 1; often wrong.
        final_newline: Whether the file shall end with a newline; None leaves that as it is.
    """

    kind: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    file: str | None = None
    line: int | None = None
    final_newline: bool | None = None

    def without_blank_ends(self) -> Block:
        """Return the block without the blank lines that `old` and `new` both begin or end with."""
        old, new, line = list(self.old), list(self.new), self.line
        while old and new and not (old[0].strip() or new[0].strip()):
            del old[0], new[0]
            line = None if line is None else line + 1
        while old and new and not (old[-1].strip() or new[-1].strip()):
            del old[-1], new[-1]
        return self._with(old, new, line)

    def unescaped(self) -> Block:
        """Return the block with the escapes of HTML resolved."""
        return self._with([unescape(line) for line in self.old], [unescape(line) for line in self.new], self.line)

    def _with(self, old: Iterable[str], new: Iterable[str], line: int | None) -> Block:
        return Block(
            kind=self.kind,
            old=tuple(old),
            new=tuple(new),
            file=self.file,
            line=line,
            final_newline=self.final_newline,
        )


def split_lines(text: str) -> tuple[list[str], list[str]]:
    r"""Return the lines of a text and their endings: `\n`, `\r\n`, or nothing for a last line without one."""
    texts, endings = list[str](), list[str]()
    parts = text.split("\n")
    for part in parts[:-1]:
        bare = part.removesuffix("\r")
        texts.append(bare)
        endings.append("\r\n" if bare != part else "\n")
    if parts[-1]:
        texts.append(parts[-1])
        endings.append("")
    return texts, endings


def without_thinking(reply: str) -> str:
    """Return a reply without the parts in which a model thinks aloud, such as `<think>...</think>`.

    A section begins at the start of a line. An end without a beginning, which templates that open the section for the
    model leave, ends a section that began with the reply; a beginning without an end goes on to the end of the reply.
    """
    return _END_OF_THOUGHT.sub("", _THOUGHT.sub("", reply), count=1)


def unescape(text: str) -> str:
    """Resolve the escapes of HTML's five special characters."""
    return _ESCAPED.sub(lambda match: html.unescape(match[0]), text)


def elision(lines: Iterable[str], known: Iterable[str]) -> str | None:
    """Return the first line that stands for code left out, such as `# ... rest unchanged`; None if there is none.

    Args:
        lines: What a model wrote.
        known: Lines of the file itself: what stands there already is code, whatever it looks like.
    """
    own = {line.strip() for line in known}
    bare = (line.strip() for line in lines if len(line) <= _ELISION_CHARACTERS)  # some patterns take quadratic time
    return next((line for line in bare if line not in own and any(each.fullmatch(line) for each in _ELISIONS)), None)


def file_named(line: str) -> str | None:
    """Return the file name that a line consists of, as in `**train.py**` or `File: train.py`; None if it is prose."""
    match = _FILE_NAME.fullmatch(line) if len(line) <= _NAME_CHARACTERS else None
    return match["name"] if match else None


def require_own_file(name: str | None) -> None:
    """Refuse an edit to another file.

    Raises:
        EditError: It names one.
    """
    if name is not None and PurePosixPath(name.replace("\\", "/")).name != FILE:
        raise EditError(f"edits may touch {FILE} only, got one for {name!r}; leave all other files as they are")
