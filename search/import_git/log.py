"""Reads results.tsv of an autoresearch branch: the score of each commit, and whether it was kept.

Agents write these tables by hand, each in its own way. A row with one clear meaning is read. A row with no meaning or
two is left out, with a reason. Nothing is guessed, so nothing counts as measured that was not.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from operators.trial import Status
from search.errors import UserError
from search.import_git.cells import (
    FAILED,
    UnreadCellError,
    begins_with_number,
    begins_with_verdict,
    read_commit,
    read_label,
    read_memory_bytes,
    read_number,
    read_status,
    read_verdict,
)
from search.import_git.header import NAMES, Header, headers_in, metric_in, name_of, stated_direction
from search.import_git.missing import NoScoreError, Score, lacking
from search.import_git.table import LeftOut, Row, Table, told, where
from target.metric import VAL_BPB

_MOST_ROWS: Final = 5_000
_DIRECTION: Final = re.compile(r"\s*#.*?direction\s*[:=](.*)", re.IGNORECASE)
_NINES: Final = re.compile(r"-?9{3,}\.0+")
_FAR: Final = 10
_FEWEST_VERDICTS: Final = 3
_OF_ONE_METRIC: Final = frozenset(("metric", "metric_value", "value", "score"))
"""Columns of tables that name their metric elsewhere, so that a line `# metric_direction` is about them."""


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
        metric: Name of the column with the score; or of a metric, if the table has one column with the names of metrics
            and one with their values; None for the metric whose direction stands in the header, or else val_bpb.

    Raises:
        NoScoreError: It has no such column, or no such metric.
        UserError: It has no header, too many rows, or no row that can be used.
    """
    numbered = enumerate(text.split("\n"), start=1)  # not splitlines: descriptions may hold other breaks
    lines = [(number, line.rstrip("\r").lstrip("\ufeff")) for number, line in numbered if line.strip()]
    if not lines:
        raise UserError(f"{place} is empty; a header and one row per experiment are expected")
    header = _find_header(lines, metric or metric_in(line for _, line in lines) or VAL_BPB.name, place)
    if len(lines) - 1 > _MOST_ROWS:
        raise UserError(f"{place} must have at most {_MOST_ROWS:,} rows, got {len(lines) - 1:,}: import the last ones")
    table = _Reader(header, place).read(lines)
    if not table.rows:
        why = "; ".join(told(table.left_out)) or "it has a header but no experiment"
        raise UserError(f"{place} has no row that can be used: {why}")
    return table


def _find_header(lines: list[tuple[int, str]], metric: str, place: str) -> Header:
    best: Header | None = None
    for number, line in lines[:_MOST_ROWS]:
        for header in headers_in(number, line, metric):
            if header.complete:
                return header
            if best is None or header.known > best.known:
                best = header
    if best is not None and (described := _with_described_verdicts(lines, best)) is not None:
        return described
    raise lacking(lines, best, metric, place)


def _with_described_verdicts(lines: Iterable[tuple[int, str]], header: Header) -> Header | None:
    """Return a header whose verdicts are the first words of the descriptions, if all of these begin with a verdict."""
    at, commit, score = (header.places.get(name) for name in ("description", "commit", "score"))
    if at is None or commit is None or score is None or header.verdicts:
        return None
    rows = [header.split(line, header.columns) for number, line in lines if number > header.line]
    rows = [cells for cells in rows if len(cells) == header.columns and begins_with_number(cells[score])]
    if len(rows) < _FEWEST_VERDICTS or not all(begins_with_verdict(cells[at]) for cells in rows):
        return None
    return replace(header, verdicts=(("description", at),))


@dataclass(slots=True)
class _Record:
    """The cells of a row by column, as written."""

    line: int
    commit: str
    score: str
    memory: str
    description: str
    verdicts: list[tuple[str, str]]
    named: str
    direction: str

    @property
    def is_row(self) -> bool:
        """Whether a line with enough cells, between commas, is a row: at least one of its three main cells is valid."""
        if read_commit(self.commit) is not None or any(read_status(cell) is not None for _, cell in self.verdicts):
            return True
        return begins_with_number(self.score) or all((self.commit, self.score, *(cell for _, cell in self.verdicts)))


class _Reader:
    """Reads the rows of a table.

    Args:
        header: Its header.
        place: Name of the file, for messages.
    """

    def __init__(self, header: Header, place: str) -> None:
        self._header = header
        self._place = place
        self._metric = header.metric.lower()
        self._exported = header.stated.metric if header.stated and header.stated.exported else None
        self._table = Table()
        self._named: dict[str, None] = {}

    def read(self, lines: Sequence[tuple[int, str]]) -> Table:
        """Read all rows below the header."""
        table, scales = self._table, dict[int, str]()
        table.larger_is_better = self._direction(lines)
        table.heading = self._exported
        directions = set[bool | None]()
        for record in self._records(lines):
            try:
                row, scale = self._row(record)
            except UnreadCellError as error:
                table.left_out.append(LeftOut(record.line, str(error)))
                continue
            table.rows.append(row)
            directions.add(stated_direction(record.direction))
            if row.value is not None:
                scales[row.line] = scale
        if table.larger_is_better is None and len(directions) == 1:
            table.larger_is_better = directions.pop()
        table.leave_out_other_scales(scales, self._metric)
        self._take_nines_for_failures()
        self._check_names()
        return table

    def _take_nines_for_failures(self) -> None:
        """Take a score such as -999, far from all others, for the mark of a failure, as 0 is."""
        values = {row.value for row in self._table.rows if row.value is not None}
        marks = {value for value in values if _NINES.fullmatch(f"{value:.6f}")}
        largest = max(map(abs, values - marks), default=math.inf)
        marks = {mark for mark in marks if abs(mark) >= _FAR * largest}
        rows = list[Row]()
        for row in self._table.rows:
            if row.value not in marks:
                rows.append(row)
            elif row.status is Status.DISCARD:
                rows.append(replace(row, value=None, status=Status.CRASHED))
            else:
                why = f"{row.status.value} with {row.value:g}, which stands for a failure, as {self._metric}"
                self._table.left_out.append(LeftOut(row.line, why))
        self._table.rows = rows

    def _direction(self, lines: Iterable[tuple[int, str]]) -> bool | None:
        if (stated := self._header.stated) is not None:
            return stated.metric.is_maximized
        if name_of(self._metric) not in _OF_ONE_METRIC:
            return None
        found = (found for _, line in lines if (found := _DIRECTION.match(line)))
        directions = {stated_direction(each[1]) for each in found}
        return directions.pop() if len(directions) == 1 else None

    def _records(self, lines: Iterable[tuple[int, str]]) -> Iterator[_Record]:
        """Yield the rows; a line that begins no row is added to the description of the row before."""
        header, last, added = self._header, None, list[int]()
        for number, line in lines:
            if not line.strip(" |-:\t+="):  # a ruler
                continue
            if number <= self._header.line:
                cells = header.split(line, len(line) + 1)
                if number < header.line and any(map(read_commit, cells)) and any(map(read_status, cells)):
                    self._table.left_out.append(LeftOut(number, "above the header"))
                continue
            if other := _other_header(number, line, header):
                if last:
                    yield last
                header, last = other, None
                continue
            if header.barred and not line.lstrip().startswith("|"):
                continue  # text around a table in Markdown
            if not header.complete:
                why = f"under another header (line {header.line}), without {self._metric}"
                self._table.left_out.append(LeftOut(number, why))
                continue
            cells = header.split(line, header.columns)
            record = _record(number, cells, header)
            short = len(cells) < header.columns - (header.places.get("description") == header.columns - 1)
            if short and len(cells) > 1 and read_commit(record.commit) is not None:
                self._table.left_out.append(LeftOut(number, "fewer columns than the header"))
            elif not short and (header.tabbed or record.is_row):
                if last:
                    yield last
                last = record
                if _holds_another(line, header):
                    record.description = record.description.partition("\t")[0]
                    self._table.left_out.append(LeftOut(number, "a second row in the line of the first"))
            elif line.startswith("#"):  # a comment
                continue
            elif last and not header.barred:
                last.description = f"{last.description} {line.strip()}"
                added.append(number)
            else:
                self._table.left_out.append(LeftOut(number, "not a row of the table"))
        if last:
            yield last
        if added:
            self._table.notes.append(f"they begin no row, and were added to the description above: {where(added)}")

    def _row(self, record: _Record) -> tuple[Row, str]:
        """Return a row, and the scale of its score: % for percent, /33 for a share of 33, else nothing."""
        if self._header.named is not None:
            name = record.named.strip("`*'\" ")
            if begins_with_number(record.score):
                self._named[name] = None
            if not self._by_value and name_of(name) != name_of(self._metric):
                raise UnreadCellError(f"another metric than {self._metric}")
        status = read_verdict(record.verdicts)
        if read_status(record.memory) in (Status.KEEP, Status.DISCARD):
            raise UnreadCellError("a verdict where the memory should be, so its cells are not below their headers")
        if status is Status.DISCARD and (failure := read_status(record.score)) in FAILED:
            status, value, unit = failure, None, ""
        else:
            value, unit = read_number(record.score, self._metric)
        if value == 0.0 and self._exported:
            pass  # `search.export` leaves the cell of a crash empty
        elif value == 0.0 and status is not Status.KEEP:
            value = None  # 0.000000 means a crash
            status = Status.CRASHED if status is Status.DISCARD else status
        elif not value and status in (Status.KEEP, Status.DISCARD):
            missing = "without a" if value is None else "with 0, which stands for a crash, as"
            raise UnreadCellError(f"{status.value} {missing} {self._metric}")
        row = Row(
            line=record.line,
            commit=read_commit(record.commit),
            value=value if status in (Status.KEEP, Status.DISCARD) else None,
            memory_bytes=read_memory_bytes(record.memory),
            status=status,
            description=record.description.strip("\"' \t"),
            label=read_label(record.commit),
        )
        return row, unit if unit == "%" or unit.startswith("/") else ""

    @property
    def _by_value(self) -> bool:
        """Whether the user named the column with the numbers of all metrics."""
        return name_of(self._header.cells[self._header.places["score"]]) == name_of(self._metric)

    def _check_names(self) -> None:
        """Refuse a table whose rows have several metrics of which none, or all, were chosen."""
        names = list(self._named)
        if names and (len(names) > 1 if self._by_value else not self._table.rows):
            raise NoScoreError(
                f"{self._place}:{self._header.line}: {self._metric} must be one of the metrics that its rows are of: "
                + ", ".join(names[:10]),
                [Score(name, None) for name in names],
            )


def _other_header(number: int, line: str, header: Header) -> Header | None:
    """Return the header that a line is, the same one or another; None if it is a row."""
    if not any(name in line.lower().replace(" ", "_") for name in NAMES["commit"]):
        return None
    found = [each for each in headers_in(number, line, header.metric) if each.of_experiments]
    return max(found, key=lambda each: each.known, default=None)


def _holds_another(line: str, header: Header) -> bool:
    """Return whether a second row follows the first in its line, because its line break was forgotten."""
    second = header.split(line, len(line) + 1)[header.columns - 1 :]
    if len(second) < header.columns:
        return False
    places = [at for _, at in header.verdicts if at]
    score = header.places["score"]
    return any(read_status(second[at]) is not None for at in places) and begins_with_number(second[score])


def _record(number: int, cells: Sequence[str], header: Header) -> _Record:
    def cell(at: int | None) -> str:
        return "" if at is None or at >= len(cells) else cells[at].strip()

    places = header.places
    return _Record(
        line=number,
        commit=cell(places["commit"]),
        score=cell(places["score"]),
        memory=cell(places.get("memory_gb")),
        description=cell(places.get("description")),
        verdicts=[(name, cell(at)) for name, at in header.verdicts],
        named=cell(header.named),
        direction=cell(header.directed),
    )
