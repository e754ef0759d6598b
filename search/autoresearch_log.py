"""results.tsv of an autoresearch branch: which commit scored what, and whether it was kept."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from operators.trial import Status
from search.errors import UserError
from target.reported import MOST

_COMMIT: Final = re.compile(r"[0-9a-fA-F]{4,40}")
_GIBIBYTE: Final = 1 << 30
_MOST_GB: Final = 1_000_000
_MOST_ROWS: Final = 5_000
_WORDS: Final[Mapping[str, Status]] = {
    **dict.fromkeys(("keep", "kept", "accept", "accepted", "baseline", "best", "improved", "success"), Status.KEEP),
    **dict.fromkeys(
        ("discard", "discarded", "reject", "rejected", "revert", "reverted", "worse", "neutral", "skip"), Status.DISCARD
    ),
    **dict.fromkeys(("crash", "crashed", "fail", "failed", "error", "nan"), Status.CRASHED),
    **dict.fromkeys(("oom", "out_of_memory"), Status.OUT_OF_MEMORY),
    **dict.fromkeys(("timeout", "timed_out", "killed"), Status.TIMED_OUT),
}
"""Agents keep to three of these words, mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment.

    Attributes:
        line: Where it stands in the file.
        commit: Abbreviated hash.
        value: What it scored, as written; None for a crash.
        memory_bytes: Peak memory; None if it is not known.
        status: KEEP, DISCARD, or how it failed.
        description: What was tried.
    """

    line: int
    commit: str
    value: float | None
    memory_bytes: int | None
    status: Status
    description: str


def parse_results(text: str, *, place: str, metric: str) -> list[Row]:
    """Read the table; columns are found by their names, those that are not needed are passed over.

    Args:
        text: What the file holds.
        place: Its name, for messages.
        metric: Name of the column with the score.

    Raises:
        UserError: It has no header, a row does not fit, or there is none.
    """
    numbered = enumerate(text.split("\n"), start=1)  # not splitlines: descriptions may hold what that takes for breaks
    lines = [(number, line.rstrip("\r")) for number, line in numbered if line.strip()]
    if not lines:
        raise UserError(f"{place} is empty; a header and one row an experiment are expected")
    names = [name.strip().lower() for name in lines[0][1].lstrip("\ufeff").split("\t")]
    if missing := [name for name in ("commit", metric.lower(), "status") if name not in names]:
        raise UserError(
            f"{place}:{lines[0][0]}: the header must name the tab-separated columns commit, {metric} and status, got "
            f"{names}, without {', '.join(missing)}; the column with the score is given by --metric"
        )
    if len(lines) - 1 > _MOST_ROWS:
        raise UserError(f"{place} must have at most {_MOST_ROWS:,} rows, got {len(lines) - 1:,}: import the last ones")
    rows = list(_rows(lines[1:], names, place=place, metric=metric.lower()))
    if not rows:
        raise UserError(f"{place} has a header and no experiment")
    return rows


def _rows(lines: list[tuple[int, str]], names: list[str], *, place: str, metric: str) -> Iterator[Row]:
    for number, line in lines:
        cells = [cell.strip() for cell in line.split("\t", len(names) - 1)]  # a tab in the description stays there
        if len(cells) < len(names) - (names[-1] == "description"):
            raise UserError(f"{place}:{number}: {len(names)} columns are expected, got {len(cells)}: {line!r:.120}")
        row = dict(zip(names, cells, strict=False))
        if not _COMMIT.fullmatch(row["commit"]):
            raise UserError(f"{place}:{number}: the commit must be an abbreviated hash, got {row['commit']!r}")
        status = _WORDS.get(row["status"].lower().replace(" ", "_").replace("-", "_"))
        if status is None:
            raise UserError(
                f"{place}:{number}: the status must be one of {', '.join(sorted(_WORDS))}, got {row['status']!r}"
            )
        value = _number(row[metric], f"{place}:{number}: {metric}")
        memory = _number(row.get("memory_gb", ""), f"{place}:{number}: memory_gb")
        if memory is not None and not 0 <= memory <= _MOST_GB:
            raise UserError(
                f"{place}:{number}: memory_gb must be from 0 to {_MOST_GB:,}, got {row['memory_gb']!r:.100}"
            )
        if value is not None and abs(value) > MOST:
            raise UserError(f"{place}:{number}: {metric} must be at most {MOST:g}, got {row[metric]!r:.100}")
        if not value and status in (Status.KEEP, Status.DISCARD):
            status = Status.CRASHED  # 0.000000 is how a crash is written
        yield Row(
            line=number,
            commit=row["commit"].lower(),
            value=value if status in (Status.KEEP, Status.DISCARD) else None,
            memory_bytes=round(memory * _GIBIBYTE) if memory else None,
            status=status,
            description=row.get("description", ""),
        )


def _number(cell: str, what: str) -> float | None:
    """Return a finite number; None for nothing, or for what stands for nothing."""
    if cell.lower() in ("", "-", "n/a", "na", "none", "null", "nan", "inf", "-inf", "crash"):
        return None
    try:
        number = float(cell)
    except ValueError:
        raise UserError(f"{what} must be a number, got {cell!r}") from None
    return number if math.isfinite(number) else None
