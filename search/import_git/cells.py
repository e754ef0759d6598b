"""The cells of a table that agents write by hand: a commit, a verdict, a number.

A cell with one clear meaning is read, whatever surrounds it; nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from operators.trial import Status
from target.command.digits import share_in
from target.command.reported import MOST

MARKUP: Final = " \t`*\"'[]"
"""Characters around a cell that have no meaning."""
_GIBIBYTE: Final = 1 << 30
_MOST_GB: Final = 1_000_000
_VERDICT_WORDS: Final = 2
_CELL_CHARACTERS: Final = 200
_WORDS: Final[Mapping[str, Status]] = {
    **dict.fromkeys(("keep", "kept", "accept", "accepted", "baseline", "best", "improved", "improvement"), Status.KEEP),
    **dict.fromkeys(
        (
            *("discard", "discarded", "reject", "rejected", "revert", "reverted", "worse", "neutral", "skip"),
            *(
                "no improvement",
                "no change",
                "no gain",
                "regression",
                "regressed",
                "dropped",
                "rolled back",
                "rollback",
            ),
        ),
        Status.DISCARD,
    ),
    **dict.fromkeys(("crash", "crashed", "fail", "failed", "error", "nan"), Status.CRASHED),
    **dict.fromkeys(("oom", "out of memory"), Status.OUT_OF_MEMORY),
    **dict.fromkeys(("timeout", "time out", "timed out"), Status.TIMED_OUT),
}
"""Most agents use only three of these words."""
YES_OR_NO: Final = ("kept", "keep", "accepted", "accept")
"""Columns whose name is the verdict if the cell says yes."""
FAILED: Final = frozenset((Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT))
"""Verdicts on programs that have no score."""
_HASH: Final = re.compile(r"[0-9a-fA-F]{4,40}(?![0-9A-Za-z_])")
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,20}[ #]?\d{1,6}|0\d{1,5}")
_NUMBER: Final = re.compile(r"[~≈*`$\"'\s]*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(.*)", re.DOTALL)
_YES: Final = frozenset(("yes", "y", "true", "1", "✓", "✔", "✅", "☑"))
_NO: Final = frozenset(("no", "n", "false", "0", "✗", "✘", "❌", "✖", "☒"))
_NOT_YET: Final = frozenset(("candidate", "tentative", "tentatively", "pending", "maybe"))
"""Words after a verdict that take it back."""
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})(?![\d,.])")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))")
_FIRST_WORDS: Final = re.compile(r"(\w+(?: \w+){0,2})\s*(?:[-:;,(\u2013\u2014\u2192]|$)")
_SECOND_NUMBER: Final = re.compile(r"\s*(?:->|=>|→|⇒|/|,|;|\.\.|-|–|to\b|\s)\s*[~≈]?[+-]?\.?\d")
_NOTHING: Final = frozenset(
    ("", "-", "--", "—", "–", "n/a", "na", "none", "null", "nan", "inf", "-inf", "crash", "crashed", "oom", "failed")
)
_UNITS: Final[Mapping[str, float]] = {"": 1.0, "g": 1.0, "gb": 1.0, "gib": 1.0, "mb": 2.0**-10, "mib": 2.0**-10}


class UnreadCellError(ValueError):
    """A cell has no clear meaning, or two; the message says which."""


def read_commit(cell: str) -> str | None:
    """Return the hash in a cell; a running number of the agent, such as 0012, is not a hash."""
    text = cell.strip(MARKUP)
    found = _HASH.match(text)
    if not found or (len(found[0]) < 7 and (found[0] != text or found[0].isdecimal())):
        return None
    return found[0].lower()


def read_label(cell: str) -> str | None:
    """Return the name of an experiment in the place of a commit, such as exp4, run-12 or 004.

    A number without a zero in front is no name: the message `12 layers` is about another thing than experiment 12.
    """
    text = cell.strip(MARKUP)
    return text if _LABEL.fullmatch(text) and read_commit(cell) is None else None


def read_status(cell: str) -> Status | None:
    """Return the status that the first word of a cell names; None if it names none, or what follows contradicts it."""
    words = re.findall(r"[a-z]+|->|=>|→|[/|?]", cell[:_CELL_CHARACTERS].lower())
    for length in (3, 2, 1):
        found = _WORDS.get(" ".join(words[:length]))
        if found is None or len(words) < length:
            continue
        following = words[length : length + 2]
        if following[:1] == ["?"] or not _NOT_YET.isdisjoint(following[:1]):
            return None
        if following[:1] and following[0] in ("->", "=>", "→", "/", "|", "or"):
            second = _WORDS.get(following[1]) if len(following) > 1 else None
            return found if second is found else None
        return found
    return None


def begins_with_verdict(cell: str) -> bool:
    """Return whether a cell begins with a verdict and a mark after it: `keep — deeper`, but not `revert the norm`."""
    found = _FIRST_WORDS.match(cell.strip(MARKUP))
    return found is not None and " ".join(found[1].lower().split()) in _WORDS


def read_yes(cell: str) -> Status | None:
    """Return the status in a cell of a column such as `kept`: yes, no, 1, 0, a check mark, or a verdict's word."""
    found = re.match(r"[^\W_]+(?!\.?\d)|[✓✔✅☑✗✘❌✖☒]", cell.strip(MARKUP).lower())
    if found and found[0] in _YES:
        return Status.KEEP
    return Status.DISCARD if found and found[0] in _NO else read_status(cell)


def read_verdict(cells: Sequence[tuple[str, str]]) -> Status:
    """Return the status in the cells of one row, each with the name of its column: a failure counts as discarded.

    Raises:
        UnreadCellError: No cell names a status, or two contradict each other.
    """
    brief = [(name, cell) for name, cell in cells[1:] if len(cell.split()) <= _VERDICT_WORDS]  # else it is a comment
    said = [(name, read_yes(cell) if name in YES_OR_NO else read_status(cell)) for name, cell in (*cells[:1], *brief)]
    known = [(name, status) for name, status in said if status is not None]
    if not known:
        name, cell = cells[0]
        unknown = "is neither yes nor no" if name in YES_OR_NO else "is not known"
        raise UnreadCellError(f"the {name} {cell!r:.60} {unknown}")
    statuses = dict.fromkeys(status for _, status in known)
    failures = [status for status in statuses if status in FAILED]
    if len(statuses) == 1 or (len(failures) == 1 and statuses.keys() <= {*failures, Status.DISCARD}):
        return failures[0] if failures else known[0][1]
    raise UnreadCellError(", ".join(f"{name} says {status.value}" for name, status in known))


def read_number(cell: str, what: str) -> tuple[float | None, str]:
    """Return the number at the start of a cell and its unit, in lower case; None for an empty cell.

    A share such as 18/33 is a number with the unit /33.

    Raises:
        UnreadCellError: The cell holds something else, or a second number.
    """
    text = cell.strip(MARKUP)[:_CELL_CHARACTERS]
    if text.lower() in _NOTHING:
        return None, ""
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    elif thousands := _THOUSANDS.match(text):  # 1,234 alone can be either
        text = thousands[0].replace(",", "") + text[thousands.end() :]
    if share := share_in(text):
        return share[0] / share[1], f"/{share[1]}"
    found = _NUMBER.fullmatch(text)
    if not found or _SECOND_NUMBER.match(found[2]):
        raise UnreadCellError(f"{what} is not a number" if not found else f"{what} can be read as two numbers")
    number = float(found[1])
    if not math.isfinite(number) or abs(number) > MOST:
        raise UnreadCellError(f"{what} is beyond {MOST:g}")
    unit = re.match(r"\s*(%|[A-Za-z]*)", found[2])
    return number, unit[1].lower() if unit else ""


def begins_with_number(cell: str) -> bool:
    """Return whether a cell begins with a number."""
    return _NUMBER.match(cell) is not None


def read_memory_bytes(cell: str) -> int | None:
    """Return the bytes of a cell in gigabytes; None if it cannot be read, so that the row is still used."""
    try:
        number, unit = read_number(cell, "memory")
    except UnreadCellError:
        return None
    scale = _UNITS.get(unit)
    if not number or scale is None or not 0 < number * scale <= _MOST_GB:
        return None
    return round(number * scale * _GIBIBYTE)
