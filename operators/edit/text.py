"""The text of models: lines and their endings, marks, names of files, escapes, and one edit as data."""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

_NAME_CHARACTERS: Final = 200
_FENCE: Final = re.compile(r"[ \t]*(?P<ticks>`{3,}|~{3,})[ \t]*(?P<label>[^`]*)")
_ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|apos|#0?39|#x27);")
_FILE_NAME = re.compile(
    r"""(?:[\s>#*_`'"=@<\[(]|//|-{3})*"""
    r"""(?:(?:in|to|of|for|edit(?:s|ing)?|patch|updat(?:e|ed|ing)|chang(?:e|es|ed|ing)|modif(?:y|ied|ying)|diff|"""
    r"""file(?:\s*(?:name|path))?|path)\s*[:\s*`'"]\s*[*`'"]*){0,3}"""
    r"""(?P<name>[\w./\\~-]*\w\.(?:py|md|txt|json|ya?ml|toml|cfg|ini|sh|c|cpp|cu|h|js|ts|lock))[\s*_`'":=>\])-]*""",
    re.IGNORECASE,
)
_FILE_IN_SENTENCE: Final = re.compile(
    r"""[^:]{0,120}\b(?:(?<!as )in|into|add\b[^:]{0,80}\bto|file|new|create|called|named)"""
    r"""\s+[*`'"]+(?P<name>[^\s*`'"]{1,100})[*`'"]+[:\s]*""",
    re.IGNORECASE,
)
_TRIAL: Final = re.compile(r"#\d{1,9}|trial[ _#]{1,2}\d{1,9}")
"""What prompts call a program: models copy it into the headers of their diffs."""
_INVISIBLE: Final = dict.fromkeys(
    [0xAD, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]
)
"""Invisible characters: byte order marks, zero-width spaces, direction marks."""
_WIDE: Final = str.maketrans("＜＞＝｜＋－", "<>=|+-")
_TYPOGRAPHIC: Final = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′‹›´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys(
            "\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        "…": "...",
    }
)


class EditError(ValueError):
    """A model's answer is not a valid edit of this file; the message is feedback that it can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines to find, and the lines that replace them.

    Attributes:
        kind: The model's name for it.
        old: Lines that must be in the file, without their endings.
        new: Lines that replace them.
        file: Name of the file that the model gave; None if it gave none.
        line: The first line of `old` according to the model, from 1; often wrong.
        final_newline: Whether the file must end with a newline; None for no change.
        anchor: A line of the file before the place, as in `@@ def main():`; None for none.
        partial: Whether `old` may be a part of a line, as in tools that replace text.
        everywhere: Whether to replace every occurrence.
    """

    kind: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    file: str | None = None
    line: int | None = None
    final_newline: bool | None = None
    anchor: str | None = None
    partial: bool = False
    everywhere: bool = False

    def without_blank_ends(self) -> Block:
        """Return the block without the blank lines at the beginning and end of both `old` and `new`."""
        old, new, line = list(self.old), list(self.new), self.line
        first = 0
        while first < min(len(old), len(new)) and not (old[first].strip() or new[first].strip()):
            first += 1
        old, new = old[first:], new[first:]
        while old and new and not (old[-1].strip() or new[-1].strip()):
            del old[-1], new[-1]
        return replace(self, old=tuple(old), new=tuple(new), line=None if line is None else line + first)

    def unescaped(self) -> Block:
        """Return the block with the escapes of HTML resolved."""
        return replace(self, old=tuple(map(unescape, self.old)), new=tuple(map(unescape, self.new)))

    def escaped_once(self) -> Block:
        """Return the block without a second level of escapes of strings, where all its line breaks have it."""
        if not self.partial or len(self.old) != 1 or len(self.new) > 1 or "\\n" not in self.old[0]:
            return self
        old, new = (_unescaped_string(lines[0]) if lines else "" for lines in (self.old, self.new))
        return replace(self, old=tuple(old.split("\n")), new=tuple(new.split("\n")))


def _unescaped_string(text: str) -> str:
    return re.sub(r"\\([nt\"'\\])", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text)


def split_lines(text: str) -> tuple[list[str], list[str]]:
    r"""Return the lines of a text and their endings: `\n`, `\r\n`, or nothing for a last line without one."""
    texts, endings = list[str](), list[str]()
    parts = text.split("\n")
    for part in parts[:-1]:
        bare_part = part.removesuffix("\r")
        texts.append(bare_part)
        endings.append("\r\n" if bare_part != part else "\n")
    if parts[-1]:
        texts.append(parts[-1])
        endings.append("")
    return texts, endings


def with_endings_of(source: str, text: str) -> str:
    """Return a text with the line endings of a file."""
    windows = source.count("\r\n") > source.count("\n") / 2
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if windows else text


def visible(line: str) -> str:
    """Return a line in the form for finding marks: without invisible characters, wide characters as usual ones."""
    return line if line.isascii() else line.translate(_INVISIBLE).translate(_WIDE)


def folded(line: str) -> str:
    """Return a line with one form for each typographic character, so that its variants are equal."""
    if line.isascii():
        return line
    return unicodedata.normalize("NFC", line.translate(_INVISIBLE).translate(_TYPOGRAPHIC))


def fence_of(line: str) -> re.Match[str] | None:
    """Return the parts of a line that begins or ends a fenced block of Markdown: `ticks` and `label`; else None."""
    return _fence(line) if "```" in line or "~~~" in line else None


@functools.lru_cache(maxsize=1024)  # several readers call it, with few different lines
def _fence(line: str) -> re.Match[str] | None:
    return _FENCE.fullmatch(visible(line))


def closes_fence(fence: re.Match[str], opening: re.Match[str]) -> bool:
    """Return whether a fence line ends the block that another fence line began."""
    return not fence["label"].strip() and fence["ticks"].startswith(opening["ticks"])


def unescape(text: str) -> str:
    """Resolve the escapes of HTML's five special characters."""
    return _ESCAPED.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def quoted(text: str, characters: int = 120) -> str:
    """Return a text for a message: in quotes, in one line, cut at a length."""
    return repr(text if len(text) <= characters else text[: characters - 3] + "...")


def file_named(line: str) -> str | None:
    """Return the file name if a line is only that, as in `**train.py**` or `=== EDIT train.py`; None if it is prose."""
    match = _FILE_NAME.fullmatch(line) if len(line) <= _NAME_CHARACTERS and "." in line else None
    return match["name"] if match else None


def file_above(line: str) -> str | None:
    """Return the file name in a line above code: the line is only that, or ends so: `Create a new file `rate.py`:`."""
    if (name := file_named(line)) is not None:
        return name
    match = _FILE_IN_SENTENCE.fullmatch(line) if len(line) <= _NAME_CHARACTERS and line.rstrip().endswith(":") else None
    return file_named(match["name"]) if match else None


def file_in_label(label: str) -> str | None:
    """Return the name of a file in the label of a fence, as in `python:train.py` or `py title="train.py"`."""
    words = re.split(r"[\s:={}]+", label[:_NAME_CHARACTERS])
    return next((name for word in words if (name := file_named(word))), None)


def require_own_file(name: str | None, file: str) -> None:
    """Refuse an edit to another file.

    Args:
        name: What the model calls the file that it edits; None if it does not say.
        file: The file that may be edited; models may leave out its folder.

    Raises:
        EditError: The name is another file's.
    """
    if (
        name is not None
        and not _TRIAL.fullmatch(name)
        and PurePosixPath(name.replace("\\", "/")).name != PurePosixPath(file).name
    ):
        raise EditError(f"edits may change only {file}, got one for {name!r}; do not change other files")


def first_line(lines: Iterable[str]) -> str:
    """Return the first line that is not blank, for a message."""
    return next((line.strip() for line in lines if line.strip()), "")
