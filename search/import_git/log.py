"""Reads results.tsv of an autoresearch branch: the score of each commit, and whether it was kept.

Agents write these tables by hand, each in its own way. A row with one clear meaning is read. A row with no meaning or
two is left out, with a reason. Nothing is guessed, so nothing counts as measured that was not.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.trial import Status
from search.errors import UserError
from search.import_git.cells import (
    MARKUP,
    UnreadCellError,
    begins_with_number,
    read_commit,
    read_memory_bytes,
    read_number,
    read_status,
)
from target.metric import VAL_BPB, Metric, read_heading

_MOST_ROWS: Final = 5_000
_HEADER_LINES: Final = 50  # searched for a header
_TOLD_LINES: Final = 5
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "commit": ("commit", "commit_hash", "git_commit", "git_hash", "hash", "sha"),
    "memory_gb": ("memory_gb", "peak_memory_gb", "mem_gb", "memory", "vram_gb", "peak_vram_gb"),
    "status": ("status", "decision", "verdict", "outcome"),
    "description": ("description", "desc", "notes", "note", "change", "experiment"),
}
"""Names of columns, the usual name first."""
_SCORE: Final = "score"
"""Key of the column with the scores, whatever its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment.

    Attributes:
        line: Line in the file where it begins.
        commit: Abbreviated hash; None if the cell is not a hash.
        value: Its score, as written; None for a crash.
        memory_bytes: Peak memory; None if it is unknown.
        status: KEEP, DISCARD, or how it failed.
        description: What was tried.
    """

    line: int
    commit: str | None
    value: float | None
    memory_bytes: int | None
    status: Status
    description: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that cannot be used.

    Attributes:
        line: Line in the file where it begins.
        why: The reason; rows left out for the same reason have the same text.
    """

    line: int
    why: str


@dataclass(slots=True)
class Table:
    """The content of a table.

    Attributes:
        metric: What its scores are.
        tells_direction: Whether its header says which direction is better; if not, `metric` has the usual one.
        rows: The experiments, in their order.
        left_out: Rows that cannot be read.
    """

    metric: Metric = VAL_BPB
    tells_direction: bool = False
    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def decode_results(content: bytes, *, place: str) -> tuple[str, list[str]]:
    """Return the text of a table, and a note if it is not UTF-8.

    Raises:
        UserError: It is not text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), [f"{place} is UTF-16, and was read as such"]
    if b"\0" in content:
        raise UserError(f"{place} must be a text file with one row per experiment, but has bytes that are not text")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        note = f"{place} is not UTF-8 (byte {error.start}), and was read as Windows-1252"
        return content.decode("cp1252", errors="replace"), [note]


def parse_results(text: str, *, place: str, metric: str | None = None) -> Table:
    """Read the table. Columns are found by their names; other columns are ignored.

    A column of scores may say which direction is better: `accuracy (higher is better)`. In it, 0 is a score.

    Args:
        text: Content of the file.
        place: Its name, for messages.
        metric: Name of the column with the score; None for the one that tells its direction, or else val_bpb.

    Raises:
        UserError: It has no header, too many rows, or no row that can be used.
    """
    numbered = enumerate(text.split("\n"), start=1)  # not splitlines: descriptions may hold other breaks
    lines = [(number, line.rstrip("\r").lstrip("\ufeff")) for number, line in numbered if line.strip()]
    if not lines:
        raise UserError(f"{place} is empty; a header and one row per experiment are expected")
    header = _find_header(lines, metric, place)
    if len(lines) - 1 > _MOST_ROWS:
        raise UserError(f"{place} must have at most {_MOST_ROWS:,} rows, got {len(lines) - 1:,}: import the last ones")
    table = header.read(lines)
    if not table.rows:
        why = "; ".join(told(table.left_out)) or "it has a header but no experiment"
        raise UserError(f"{place} has no row that can be used: {why}")
    return table


def told(left_out: Iterable[LeftOut]) -> list[str]:
    """Return one line per reason: the reason, the number of rows, and where they are."""
    lines: dict[str, list[int]] = {}
    for each in left_out:
        lines.setdefault(each.why, []).append(each.line)
    return [f"{why}: {where(numbers)}" for why, numbers in lines.items()]


def where(lines: Sequence[int]) -> str:
    """Return the number of rows and the lines of the first of them."""
    more = ", ..." * (len(lines) > _TOLD_LINES)
    numbers = ", ".join(map(str, lines[:_TOLD_LINES]))
    return f"{counted(len(lines), 'row')} (line{'s' * (len(lines) != 1)} {numbers}{more})"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _tabs(line: str, columns: int) -> list[str]:
    return line.split("\t", columns - 1)  # a tab in the last column belongs to the description


def _commas(line: str, columns: int) -> list[str]:
    cells = next(csv.reader([line]), [])
    return [*cells[: columns - 1], ",".join(cells[columns - 1 :])] if len(cells) > columns else cells


def _pipes(line: str, columns: int) -> list[str]:
    return line.strip().removeprefix("|").removesuffix("|").split("|", columns - 1)


_SPLITTERS: Final[tuple[Callable[[str, int], list[str]], ...]] = (_tabs, _commas, _pipes)


def _find_header(lines: list[tuple[int, str]], metric: str | None, place: str) -> _Header:
    for number, line in lines[:_HEADER_LINES]:
        for split in _SPLITTERS:
            cells = [cell.strip(MARKUP) for cell in split(line, len(line) + 1)]
            names = [_plain(cell) for cell in cells]
            found = {
                name: next(names.index(each) for each in others if each in names)
                for name, others in _NAMES.items()
                if set(others) & set(names)
            }
            scores = _find_scores(cells, metric)
            if scores and {"commit", "status"} <= found.keys():
                place_of_scores, measured, tells = scores
                return _Header(number, split, len(names), {**found, _SCORE: place_of_scores}, measured, tells)
    first = f"{place}:{lines[0][0]}"
    wanted = metric or VAL_BPB.name
    raise UserError(
        f"{first}: there must be a header with the columns commit, {wanted} and status, separated by tabs or commas; "
        f"the table begins with {lines[0][1]!r:.120}; --metric names the column with the score"
    )


def _find_scores(cells: Sequence[str], metric: str | None) -> tuple[int, Metric, bool] | None:
    """Return the place of the column with the scores, what they are, and whether it says so; None if there is none."""
    told = {at: found for at, cell in enumerate(cells) if (found := read_heading(cell))}
    for at, found in told.items():
        if metric is None or _plain(found.name) == _plain(metric):
            return at, found, True
    named = metric or VAL_BPB.name
    return next(
        ((at, Metric(name=named), False) for at, cell in enumerate(cells) if _plain(cell) == _plain(named)), None
    )


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of a table.

    Attributes:
        line: Its line.
        split: Splits a line into cells.
        columns: Number of columns.
        places: Positions of the known columns.
        metric: What its scores are.
        tells_direction: Whether it says which direction is better.
    """

    line: int
    split: Callable[[str, int], list[str]]
    columns: int
    places: Mapping[str, int]
    metric: Metric
    tells_direction: bool

    def read(self, lines: Iterable[tuple[int, str]]) -> Table:
        """Read all rows below the header."""
        table, percents = Table(self.metric, self.tells_direction), set[int]()
        for number, cells in self._records(lines, table):
            try:
                row, percent = self._row(number, cells)
            except UnreadCellError as error:
                table.left_out.append(LeftOut(number, str(error)))
                continue
            table.rows.append(row)
            if percent:
                percents.add(number)
        measured = {row.line for row in table.rows if row.value is not None}
        if percents and measured - percents:
            table.left_out += [
                LeftOut(line, f"a {self.metric.name} in percent among others") for line in sorted(percents)
            ]
            table.rows = [row for row in table.rows if row.line not in percents]
        return table

    def _records(self, lines: Iterable[tuple[int, str]], table: Table) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the rows by column; a line that begins no row is added to the description of the row before."""
        last: tuple[int, dict[str, str]] | None = None
        for number, line in lines:
            if number <= self.line:
                continue
            cells = self.split(line, self.columns)
            short = len(cells) < self.columns - (self.places.get("description") == self.columns - 1)
            record = {name: cells[at].strip() if at < len(cells) else "" for name, at in self.places.items()}
            if self._is_header(record) or not line.strip(" |-:\t+"):  # a repeated header, or a ruler
                continue
            if short and len(cells) > 1 and read_commit(record["commit"]) is not None:
                table.left_out.append(LeftOut(number, "fewer columns than the header"))
            elif not short and self._begins(record):
                if last:
                    yield last
                last = number, record
            elif last:
                last[1]["description"] = f"{last[1].get('description', '')} {line.strip()}"
            else:
                table.left_out.append(LeftOut(number, "not a row of the table"))
        if last:
            yield last

    def _is_header(self, record: Mapping[str, str]) -> bool:
        return (
            record["commit"].strip(MARKUP).lower() in _NAMES["commit"]
            and record["status"].strip(MARKUP).lower() in _NAMES["status"]
        )

    def _begins(self, record: Mapping[str, str]) -> bool:
        """Return whether a line with enough cells is a row: at least one of its three main cells is valid."""
        commit, score, status = record["commit"], record[_SCORE], record["status"]
        if read_commit(commit) is not None or read_status(status) is not None or all((commit, score, status)):
            return True
        return begins_with_number(score)

    def _row(self, line: int, record: Mapping[str, str]) -> tuple[Row, bool]:
        """Return a row, and whether its score is in percent."""
        status = read_status(record["status"])
        if status is None:
            raise UnreadCellError(f"the status {record['status']!r:.60} is not known")
        value, unit = read_number(record[_SCORE], self.metric.name)
        if value == 0.0 and not self.tells_direction:
            value = None  # 0.000000 means a crash
            status = Status.CRASHED if status is Status.DISCARD else status
        if value is None and status in (Status.KEEP, Status.DISCARD):
            raise UnreadCellError(f"{status.value} without a {self.metric.name}")
        row = Row(
            line=line,
            commit=read_commit(record["commit"]),
            value=value if status in (Status.KEEP, Status.DISCARD) else None,
            memory_bytes=read_memory_bytes(record.get("memory_gb", "")),
            status=status,
            description=record.get("description", "").strip("\"' \t"),
        )
        return row, unit == "%" and row.value is not None
