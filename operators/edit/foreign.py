"""Edits in the notations of other tools, as JSON and as tags: one vocabulary for both, one reading of each edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from operators.edit.text import Block, EditError

OLD: Final = frozenset(
    [
        "old",
        "oldstr",
        "oldstring",
        "oldtext",
        "oldcode",
        "oldcontent",
        "oldlines",
        "search",
        "searchtext",
        "searchstring",
        "searchblock",
        "find",
        "before",
        "original",
        "originalcode",
        "originaltext",
        "target",
        "targetcontent",
    ]
)
NEW: Final = frozenset(
    [
        "new",
        "newstr",
        "newstring",
        "newtext",
        "newcode",
        "newlines",
        "replace",
        "replacement",
        "replacewith",
        "replacetext",
        "replacestring",
        "replaceblock",
        "replacementcontent",
        "after",
        "updated",
        "updatedcode",
        "modified",
    ]
)
WHOLE: Final = frozenset(
    ["content", "contents", "filetext", "filecontent", "filecontents", "newcontent", "code", "codecontent", "source"]
)
PATH: Final = frozenset(["path", "filepath", "filename", "file", "targetfile", "relativepath"])
EVERYWHERE: Final = frozenset(["replaceall", "everywhere", "allowmultiple"])
PATCH: Final = frozenset(
    ["patch", "diff", "input", "command", "arguments", "patchtext", "edits", "changes", "replacements", "operations"]
)
"""Keys of texts in which further edits stand, as a patch, as JSON or as a shell command."""
LINES: Final = frozenset(
    [
        "line",
        "linenumber",
        "linerange",
        "lineindex",
        "startline",
        "endline",
        "insertline",
        "afterline",
        "beforeline",
        "insertafterline",
        "range",
        "pos",
        "anchor",
        "startanchor",
        "endanchor",
    ]
)
_PLACED: Final = frozenset(["lines", "text", "inserttext", "insert", "newtext", "newlines"])


def plain_name(name: str) -> str:
    """Return the name of a key or tag in a form common to all tools: `oldString`, `old_str`, `old-str`."""
    return re.sub(r"[_\-\s]", "", name[:40]).lower()


@dataclass(slots=True)
class Foreign:
    """The contents of a reply in a foreign notation.

    Attributes:
        blocks: Edits.
        files: Whole files, or pieces of code that may be whole files.
        texts: Texts in another notation, such as a patch in a string.
        values: New values of constants, as code.
    """

    blocks: list[Block] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


def edit_from(said: Mapping[str, str], *, file: str | None, everywhere: bool = False) -> Block | None:
    """Return the edit in named texts; None if there is none.

    Args:
        said: Texts by plain name.
        file: The file that they name.
        everywhere: Whether to replace every occurrence.

    Raises:
        EditError: They give two edits, or half of one.
    """
    old, new = ([name for name in said if name in names] for names in (OLD, NEW))
    if not old or not new:
        return None
    if len(old) > 1 or len(new) > 1:
        raise EditError(f"an edit must have one old and one new text, got {', '.join([*old, *new])}: which are meant?")
    return Block(
        kind="edit",
        old=lines_of(said[old[0]]),
        new=lines_of(said[new[0]]),
        file=file,
        partial=True,
        everywhere=everywhere,
    )


def refuse_line_numbers(names: Iterable[str]) -> None:
    """Refuse an edit whose place is only a number: the program is shown without line numbers, and models miscount.

    Args:
        names: The plain names of what is said of the edit.

    Raises:
        EditError: They give a line and a new text, and no old text.
    """
    known = [*names]
    numbers = [name for name in known if name in LINES]
    if numbers and any(name in NEW | WHOLE | _PLACED for name in known) and not any(name in OLD for name in known):
        raise EditError(
            f"the edit names its place by {' and '.join(numbers)}, and line numbers are not used: "
            "quote the present text and its replacement"
        )


def lines_of(text: str) -> tuple[str, ...]:
    """Return the lines of an edit's text; a newline at the end begins no further line."""
    text = text.replace("\r\n", "\n").removesuffix("\n")
    return tuple(text.split("\n")) if text else ()
