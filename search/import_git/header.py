"""The header of a table: which column has the commit, the score, the verdict, and how lines are split into cells."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from search.import_git.cells import MARKUP, YES_OR_NO
from target.metric import Metric, read_heading

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "commit": (
        *("commit", "commit_hash", "commit_sha", "commit_id", "git_commit", "git_hash", "git_sha", "hash", "sha"),
        *("sha1", "short_hash", "short_sha", "revision", "rev", "candidate_commit", "candidate_sha", "candidate_ref"),
    ),
    "memory_gb": ("memory_gb", "peak_memory_gb", "mem_gb", "memory", "vram_gb", "peak_vram_gb"),
    "description": (
        *("description", "desc", "notes", "note", "change", "experiment", "idea", "hypothesis", "summary", "rationale"),
    ),
}
"""Names of columns, the usual name first."""
VERDICTS: Final = ("status", "decision", "verdict", "outcome")
_LONG: Final[Mapping[str, str]] = {"metric": "value", "metric_name": "metric_value"}
"""Columns that name the metric of a row, and the column with its number."""
_DIRECTIONS: Final = ("metric_direction", "direction")
_HEADER_LINES: Final = 50
_REMARK: Final = re.compile(r"\(.*?\)")
_NUMBER: Final = re.compile(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?")
_NOT_IN_NAMES: Final = re.compile(r"[^\w%/.-]+")
_LARGER: Final = re.compile(r"higher|larger|greater|maximi|\bmax\b|[↑⬆▲]")
_SMALLER: Final = re.compile(r"lower|smaller|minimi|\bmin\b|[↓⬇▼]")
_REMARK_ON_DIRECTION: Final = re.compile(r"\([^)]*better[^)]*\)|[↑⬆▲↓⬇▼]")


def name_of(cell: str) -> str:
    """Return the name in a cell of a header, without remarks, marks and capitals: `Val BPB (↓)` is `val_bpb`."""
    text = _NOT_IN_NAMES.sub(" ", _REMARK.sub(" ", cell.strip(MARKUP).lower()))
    return re.sub(r"[\s-]+", "_", text.strip())


def stated_direction(text: str) -> bool | None:
    """Return whether a text says that larger is better; None if it says nothing, or both."""
    larger, smaller = _LARGER.search(text.lower()) is not None, _SMALLER.search(text.lower()) is not None
    return None if larger is smaller else larger


@dataclass(frozen=True, slots=True)
class Stated:
    """What the cell above the scores states.

    Attributes:
        metric: The metric, with its direction.
        exported: Whether it is written as `search.export` does, name and direction, and so is certain.
    """

    metric: Metric
    exported: bool


def _stated(cell: str, metric: str) -> Stated | None:
    """Return what the cell above the scores states of a metric; None without a direction, which `accuracy ↑` has."""
    if (exported := read_heading(cell.strip(MARKUP))) is not None:
        return Stated(exported, exported=True)
    larger = stated_direction(" ".join(_REMARK_ON_DIRECTION.findall(cell.lower())))
    return None if larger is None else Stated(Metric(name=metric, is_maximized=larger), exported=False)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a table.

    Attributes:
        line: Its line; 0 if there is none.
        split: Splits a line into cells, at most as many as given.
        cells: Its cells, as written.
        metric: Name of the metric, as the user gave it.
        places: Positions of the columns commit, memory_gb, description, and of the score under "score".
        verdicts: Names and positions of the columns with verdicts.
        barred: Whether it begins with a bar, as in Markdown, so that other lines are not of the table.
        named: Position of the column that names the metric of a row, if the table has such a column.
        stated: What the cell above the scores states; None if there is no such cell, or no direction in it.
        doubtful: Names in the header that may all be the metric.
        directed: Position of a column that says of each row which scores are better, if there is one.
    """

    line: int
    split: Callable[[str, int], list[str]]
    cells: tuple[str, ...]
    metric: str
    places: Mapping[str, int]
    verdicts: tuple[tuple[str, int], ...]
    barred: bool
    named: int | None = None
    stated: Stated | None = None
    doubtful: tuple[str, ...] = ()
    directed: int | None = None

    @property
    def columns(self) -> int:
        """The number of columns."""
        return len(self.cells)

    @property
    def tabbed(self) -> bool:
        """Whether tabs separate its cells: text hardly has as many of them as a row, but may have as many commas."""
        return self.split is _tabs

    @property
    def of_experiments(self) -> bool:
        """Whether it has commits and verdicts, whatever its score is."""
        return "commit" in self.places and bool(self.verdicts)

    @property
    def complete(self) -> bool:
        """Whether rows can be read."""
        return self.of_experiments and "score" in self.places

    @property
    def known(self) -> int:
        """The number of parts that it has, of commit, verdict and score."""
        return ("commit" in self.places) + bool(self.verdicts) + ("score" in self.places)


def _tabs(line: str, columns: int) -> list[str]:
    if "\t" not in line:
        line = line.replace("\\t", "\t")  # of an `echo` that does not interpret it
    return line.split("\t", columns - 1)  # a tab in the last column belongs to the description


def _separated(line: str, columns: int, mark: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=mark), [])
    return [*cells[: columns - 1], mark.join(cells[columns - 1 :])] if len(cells) > columns else cells


def _commas(line: str, columns: int) -> list[str]:
    return _separated(line, columns, ",")


def _semicolons(line: str, columns: int) -> list[str]:
    return _separated(line, columns, ";")


def _pipes(line: str, columns: int) -> list[str]:
    return line.strip().removeprefix("|").removesuffix("|").split("|", columns - 1)


_SPLITTERS: Final[tuple[Callable[[str, int], list[str]], ...]] = (_tabs, _commas, _semicolons, _pipes)


def _cells_in(line: str) -> Iterator[tuple[Callable[[str, int], list[str]], list[str]]]:
    """Yield the cells of a line that is no row, with the way of splitting it that finds more than one of them."""
    for split in _SPLITTERS:
        cells = split(line, len(line) + 1)
        if len(cells) > 1 and not any(_NUMBER.fullmatch(cell.strip(MARKUP)) for cell in cells):
            yield split, cells


def metric_in(lines: Iterable[str]) -> str | None:
    """Return the name of the metric whose direction stands beside it in a header; None if there is none.

    Args:
        lines: The table.
    """
    for line in itertools.islice(lines, _HEADER_LINES):
        for _, cells in _cells_in(line):
            if not set(map(name_of, cells)).isdisjoint(NAMES["commit"]):
                found = filter(None, (read_heading(cell.strip(MARKUP)) for cell in cells))
                return next((metric.name for metric in found), None)
    return None


def headers_in(number: int, line: str, metric: str) -> Iterator[Header]:
    """Yield what a line is as a header, for each way of splitting it that finds a part of one."""
    for split, cells in _cells_in(line):
        barred = split is _pipes and line.lstrip().startswith("|")
        header = _read(number, split, cells, metric, barred)
        if header.known:
            yield header


def _read(
    number: int, split: Callable[[str, int], list[str]], cells: Sequence[str], metric: str, barred: bool
) -> Header:
    names = [name_of(cell) for cell in cells]
    found = _Found({}, None, ())
    for name, others in NAMES.items():
        if each := next((each for each in others if each in names), None):
            found.places[name] = names.index(each)
    _find_score(found, [cell.strip(MARKUP).lower() for cell in cells], names, metric)
    verdicts = tuple((name, names.index(name)) for name in (*VERDICTS, *YES_OR_NO) if name in names)
    stated = _stated(cells[found.places["score"]], metric) if "score" in found.places else None
    directed = next((names.index(name) for name in _DIRECTIONS if name in names), None)
    return Header(
        number,
        split,
        tuple(cells),
        metric,
        found.places,
        verdicts,
        barred,
        found.named,
        stated,
        found.doubtful,
        directed,
    )


@dataclass(slots=True)
class _Found:
    places: dict[str, int] = field(default_factory=dict)
    named: int | None = None
    doubtful: tuple[str, ...] = ()


def _find_score(found: _Found, cells: list[str], names: list[str], metric: str) -> None:
    """Find the column of the metric by its name as written, or else without remarks if only one has it."""
    candidates = [at for at, cell in enumerate(cells) if cell == metric.lower()]
    candidates = candidates or [at for at, name in enumerate(names) if name and name == name_of(metric)]
    if len(candidates) > 1:
        found.doubtful = tuple(cells[at] for at in candidates)
        return
    for name, number in _LONG.items():
        if name in names and number in names and (not candidates or candidates[0] == names.index(number)):
            found.named = names.index(name)
            found.places["score"] = names.index(number)
            return
    if candidates:
        found.places["score"] = candidates[0]
