"""Reads the number that a program reports, from its output or from a JSON file. The number is unchecked."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import regex

from target.command.digits import plain_digits, share_in
from target.evaluation import Outcome
from target.feedback import CandidateFailure, last_words
from target.patterns import SlowPatternError, found_by
from target.process.runlog import LEFT_OUT

FILE_BYTES: Final = 1_000_000
MOST: Final = 1e15
"""Larger numbers measure nothing, and sums of their squares overflow."""

PATTERN_ADVICE: Final = "set target.metric_pattern to a regular expression with one group, for the number"

_FIGURES: Final = 100
_LINE_CHARACTERS: Final = 10_000  # of a progress line
_BREAKS: Final = re.compile(r"[\r\n]+")  # lines end with LF or CRLF, and progress lines with a lone CR
_COLOURS: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# a remark may follow the value, but no second number: `1.1 -> 0.9` is ambiguous
_REMARK: Final = r"[^\s\d+\-=/>→.,]|\+/?-\s*[\d.]|(?:[-=]*>|→)\s*[^\s\d+\-=/>→.,]"  # its beginning
_FIGURE: Final = re.compile(rf"\s*(?P<name>[A-Za-z_][\w.]*)\s*[:=]\s*(?P<value>\S+)(?:\s+(?:{_REMARK}).*)?\s*")
_SEPARATORS: Final = re.compile(r"[|,;\t\]]|\s-\s")
_CELLS: Final = re.compile(r"[|│┃║]")  # between the columns of a table
_SECOND: Final = (
    r"\s*(?:[=/±+\d]|\(\s*\d|-+\d|(?:[-=]*>|→)\s*[+-]?[\d.])"  # a second number behind a value: either may be meant
)
_LEVELS: Final = frozenset({"debug", "info", "warning", "warn", "error", "critical"})  # words before a logged text
_NUMBER: Final = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?%?"
_LEFT_OUT: Final = re.compile(rf"\n{LEFT_OUT}\n")


def lines_of(log: str) -> Iterator[str]:
    """Yield the lines of a log without colours and without those that are only in part there.

    A carriage return also ends a line, as in progress bars.
    """
    parts = [_BREAKS.split(part) for part in _LEFT_OUT.split(log)]
    for before, after in itertools.pairwise(parts):  # the part left out may begin and end inside lines
        before[-1] = after[0] = ""
    for line in itertools.chain.from_iterable(parts):
        yield _COLOURS.sub("", line)


@dataclass(frozen=True, slots=True)
class Printed:
    """What an output has.

    Attributes:
        figures: Its figures by name, as text.
        alone: Values of the metric that have a separate line: a list for each such line.
        among: The same for lines that have more.
    """

    figures: dict[str, str]
    alone: list[list[str]] = field(default_factory=list)
    among: list[list[str]] = field(default_factory=list)

    def choice(self, metric: str) -> str:
        """Return which value of the metric counts, and how to choose another; empty if all are equal."""
        counted, values = self.alone or self.among, [*self.alone, *self.among]
        n_values = sum(map(len, values))
        if len({_value(value) for line in values for value in line}) < 2:
            return ""
        value, line = self.figures[metric], counted[-1]
        place = "the first in its line" if value == line[0] != line[-1] else "the last"
        if len(counted) > 1 and place != "the last":
            place = "the first in the last line that has it"
        elif self.alone and self.among:
            place = "the last that has a line to itself"
        return (
            f"{metric} has {n_values} values in the output; {place} counts: {value}. If another one is the result, set "
            f"target.metric to its name, as in 'Mean {metric}', or {PATTERN_ADVICE.removeprefix('set ')}"
        )


def read_log(log: str, *, metric: str | None = None) -> Printed:
    """Read the figures of a log.

    A figure has a separate line, `name: value` or `name = value`, with or without a remark after it. If no separate
    line has the name, a part of a progress line counts, as in `step 100 | val_bpb: 0.99 | best`. The last number
    counts. A word instead of a number, such as `n/a`, counts only if there is no number. Numbers may be written as
    `plain_digits` knows them.

    Args:
        log: The output.
        metric: Name of the deciding figure. It is also found among others in a line, `epoch 3: loss=0.5 acc=0.8`, and
            in a row of a table, `| acc | 0.8 |`.
    """
    lines, pieces = dict[str, str](), dict[str, str]()
    alone, among = list[list[str]](), list[list[str]]()
    inside = _inside(metric) if metric else None
    words = _words(metric) if metric else None
    column = _Column(metric) if metric else None
    for text in map(plain_digits, lines_of(log)):
        if found := _FIGURE.fullmatch(text):
            _put(lines, found)
            if found["name"] == metric:
                _note(alone, [found["value"], *(_further(inside, text, found.end("value")) if inside else ())])
                continue
        if len(text) > _LINE_CHARACTERS:
            continue
        split = [] if found else _SEPARATORS.split(text)
        parts = [part for piece in split if (part := _FIGURE.fullmatch(piece))]
        for part in parts:
            _put(pieces, part)
        if not metric:
            continue
        values = [part["value"] for part in parts if part["name"] == metric]
        if not found and (cell := _cell_after(metric, text)):
            if sum(map(bool, _cells(text))) == 2:  # the row has nothing else
                lines[metric] = cell
                _note(alone, [cell])
                continue
            pieces[metric] = cell
            values.append(cell)
        if column and not found and (cell := column.cell_in(text)):
            pieces[metric] = cell
            values.append(cell)
        for match in filter(None, map(words.fullmatch, split)) if words else ():
            _put(pieces, match)
            values.append(match["value"])
        if inside and metric not in {part["name"] for part in parts} and (only := _only(inside, text)):
            _put(pieces, only)
            values.append(only["value"])
        _note(among, [*values, *_listed_after(metric, text)] if values else values)
    return Printed({**pieces, **lines}, alone, among)


def figures_of_pattern(log: str, pattern: str, *, seconds: float | None = None) -> list[str]:
    """Return what the group of a pattern has matched, in the order of the log, line by line.

    Args:
        log: The output.
        pattern: The user's, with one group.
        seconds: Limit of CPU time for all lines together: a line of a candidate must not keep the evaluator for hours.

    Raises:
        CandidateFailure: The search took longer.
    """
    try:
        return found_by(regex.compile(pattern), lines_of(log), seconds=seconds)
    except SlowPatternError as error:
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: the search for target.metric_pattern={pattern!r} in the output was {error}"
        ) from error


def _cell_after(name: str, text: str) -> str | None:
    """Return the number in the cell after a name in a row of a table; None if there is none."""
    after = next((cell for before, cell in itertools.pairwise(_cells(text)) if before == name), "").rstrip("%")
    return after if number(after) is not None else None


def _cells(text: str) -> list[str]:
    return [cell.strip(" \t`*'\"") for cell in _CELLS.split(text)]


class _Column:
    """The cells below the name of a metric in a table: `| epoch | acc |` above `| 3 | 0.8 |`.

    Args:
        name: The metric.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._header: list[str] = []

    def cell_in(self, text: str) -> str | None:
        """Return the number that a row has in the column; None if the line is no such row."""
        cells = _cells(text)
        if not text.strip(" |:=+-─━┼╋┃│║\t"):  # a ruler
            return None
        if cells.count(self._name) == 1:
            self._header = cells
        elif not self._is_row(cells):
            self._header = []
        if not self._header or cells is self._header:
            return None
        cell = cells[self._header.index(self._name)].rstrip("%")
        return cell if number(cell) is not None else None

    def _is_row(self, cells: list[str]) -> bool:
        """Return whether cells are as many as those of the header, between the same bars, and one is a number."""
        header = self._header
        outside = [bool(row[place]) for row in (cells, header) for place in (0, -1)] if header else []
        return (
            len(cells) == len(header)
            and outside[:2] == outside[2:]
            and any(number(cell.rstrip("%")) is not None for cell in cells)
        )


def _words(name: str) -> re.Pattern[str]:
    """Return a pattern for a part of a line that has a name and a number with only space between: `val loss 1.88`."""
    return re.compile(rf"\s*(?P<name>{re.escape(name)})\s+(?P<value>{_NUMBER})(?:\s*(?:±|\+/-)\s*[\d.]+)?\s*")


def _inside(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w./-])(?P<name>{re.escape(name)})['\"]?\s*[:=]\s*['\"]?(?P<value>[^\s,;|()\[\]{{}}'\"]++)(?!{_SECOND})"
    )


def _further(pattern: re.Pattern[str], text: str, begin: int) -> list[str]:
    """Return the values of a figure behind the one that ends at a place of a line."""
    found = pattern.finditer(text, begin)
    return [match["value"] for match in found if not _is_longer_name(text[: match.start()])]


def _only(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the figure of a line that has it once; a word before it makes it another, as in `best val_acc=1`."""
    found = [match for match in pattern.finditer(text) if not _is_longer_name(text[: match.start()])]
    return found[0] if len(found) == 1 and number(found[0]["value"].rstrip("%")) is not None else None


def _is_longer_name(before: str) -> bool:
    words = before.split()
    return before[-1:].isspace() and bool(words) and words[-1].isalpha() and words[-1].lower() not in _LEVELS


def _put(figures: dict[str, str], found: re.Match[str]) -> None:
    name, value = found["name"], found["value"].rstrip(",;%")
    if number(value) is not None or number(figures.get(name)) is None:
        figures[name] = value


def _note(lines: list[list[str]], values: list[str]) -> None:
    """Note the values of the metric in a line; words such as `n/a` are none."""
    if numbers := [value for each in values if _value(value := each.rstrip(",;%")) is not None]:
        lines.append(numbers)


def _listed_after(name: str, text: str) -> list[str]:
    """Return the numbers behind the first one of a list: 0.79 and 0.80 of `acc: 0.81, 0.79, 0.80`."""
    found = re.search(rf"(?<![\w./-]){re.escape(name)}\s*[:=]\s*{_NUMBER}((?:\s*[,;]\s*{_NUMBER})+)\s*$", text)
    return re.findall(_NUMBER, found[1]) if found else []


def figures_of_file(content: bytes | None, file: str) -> dict[str, Any]:
    """Return the members of the JSON object that a file holds.

    Args:
        content: The contents of the file; None if there is no file.
        file: Its name.

    Raises:
        CandidateFailure: It is not a JSON object.
    """
    if content is None:
        hint = "if it prints the number: target.metric_file=null"
        raise CandidateFailure(Outcome.CRASHED, f"metric: the command ended without writing {file}; {hint}")
    if len(content) > FILE_BYTES:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} must be at most {FILE_BYTES} bytes")
    try:
        members = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} must hold a JSON object, got {members!r:.100}")
    return members


def number_of(figures: dict[str, Any], name: str, *, place: str, above: float | None, log: str) -> float:
    """Return the deciding figure.

    Args:
        figures: The reported figures.
        name: Its name.
        place: The place searched, in words.
        above: It must be larger than this; None for no bound.
        log: The output, for its last words if there is no such figure.

    Raises:
        CandidateFailure: It is missing, not a number, not finite, or implausibly small.
    """
    if name not in figures:
        raise CandidateFailure(Outcome.CRASHED, f"metric: no {name!r} in {place}; {_what_came(log, name)}")
    value = _value(figures[name])
    if value is None:
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} must be a number, got {figures[name]!r:.100}"
        )
    if not math.isfinite(value):
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} is {value}: it diverged; take smaller steps, or look for 0/0"
        )
    if abs(value) > MOST:
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} must be at most {MOST:g}, got {value:g}: it diverged"
        )
    if above is not None and value <= above:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {name} in {place} must be above {above:g}, got {value:g}")
    return value


def finite_figures(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are finite numbers, at most `_FIGURES` of them."""
    numbers = ((name[:100], number(value)) for name, value in figures.items())
    finite = [(name, value) for name, value in numbers if value is not None and abs(value) <= MOST]
    return dict(finite[:_FIGURES])


def number(value: Any) -> float | None:
    """Return a reported value as a number; None if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(plain_digits(f" {value}") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None


def _value(value: Any) -> float | None:
    """Return a reported value as a number, a share such as `9912/10000` too; None if it is neither."""
    share = share_in(value) if isinstance(value, str) else None
    return share[0] / share[1] if share else number(value)


def _what_came(log: str, name: str) -> str:
    """Return the last line that has the name of a missing figure, with advice; or else the last lines."""
    named = [line.strip() for line in lines_of(log) if name.casefold() in line.casefold()]
    if named:
        return f"the last line with that name: {named[-1]!r:.200}; if it has the result: {PATTERN_ADVICE}"
    return f"the last output: {last_words(log) or 'it printed nothing'}"
