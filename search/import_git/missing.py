"""What a table lacks to be read, and in which of its columns the score may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from operators.trial import Status
from search.errors import UserError
from search.import_git.cells import UnreadCellError, read_commit, read_number, read_status, read_verdict
from search.import_git.direction import compare_kept, is_minimized
from search.import_git.header import NAMES, VERDICTS, Header, name_of

_MOST_SCORES: Final = 6
_NO_SCORES: Final = frozenset(
    (
        *("iteration", "iter", "id", "run", "run_id", "round", "cycle", "step", "steps", "num_steps", "seed", "gen"),
        *("experiment", "exp", "exp_id", "experiment_id", "delta", "improvement", "timestamp", "date", "time", "gpus"),
    )
)
"""Names of columns that count or date a row."""
_USUAL: Final = ("commit", "val_bpb", "memory_gb", "status", "description")


@dataclass(frozen=True, slots=True)
class Score:
    """A column that may have the score.

    Attributes:
        name: Its name.
        larger_is_better: What the table shows; None if it shows nothing.
    """

    name: str
    larger_is_better: bool | None


class NoScoreError(UserError):
    """The table has no column with the name of the metric, or several.

    Attributes:
        scores: Columns that may be meant, the likeliest first.
    """

    def __init__(self, message: str, scores: Sequence[Score]) -> None:
        super().__init__(message)
        self.scores = tuple(scores)


def lacking(lines: Sequence[tuple[int, str]], header: Header | None, metric: str, place: str) -> UserError:
    """Return the error for a table without a complete header.

    Args:
        lines: Its lines with their numbers.
        header: The line that comes closest to a header; None if there is none.
        metric: Name of the metric.
        place: Name of the file, for messages.
    """
    if header is None:
        return UserError(_no_header(lines, metric, place))
    where = f"{place}:{header.line}"
    columns = ", ".join(filter(None, map(str.strip, header.cells)))
    if header.of_experiments and header.doubtful:
        return UserError(
            f"{where}: {metric} may be each of the columns {', '.join(header.doubtful)}: rename the others"
        )
    if header.of_experiments:
        scores = scores_of(lines, header)
        there = f"; scores seem to be in: {', '.join(each.name for each in scores)}" if scores else ""
        return NoScoreError(f"{where}: there is no column {metric}; its columns are: {columns}{there}", scores)
    lacks = []
    if "commit" not in header.places:
        usual = ", ".join(NAMES["commit"][:3])
        lacks.append(f"no column with the commit of each row ({usual} ...), so the program of a row cannot be found")
    if not header.verdicts:
        lacks.append(f"no column that says what was kept ({', '.join((*VERDICTS, 'kept'))})")
    if "score" not in header.places:
        lacks.append(f"no column {metric} (--metric names the column with the score)")
    parents = [name for cell in header.cells if (name := name_of(cell)).startswith("parent")]
    if parents and "commit" not in header.places:
        lacks.append(f"{parents[0]} is what a row was made from, not its own commit")
    return UserError(f"{where}: the table has {'; '.join(lacks)}; its columns are: {columns}")


def _no_header(lines: Sequence[tuple[int, str]], metric: str, place: str) -> str:
    number, first = lines[0]
    cells = first.split("\t")
    text = (
        f"{place}:{number}: there must be a header with the columns commit, {metric} and status, separated by tabs or "
        f"commas; the table begins with {first!r:.120}"
    )
    if not (any(map(read_commit, cells)) and any(map(read_status, cells))):
        return text
    example = r"\t".join(_USUAL) if len(cells) == len(_USUAL) else rf"commit\t{metric}\tstatus\tdescription"
    return f"{text}; that is a row: put the names of its columns above it in a copy, such as {example}, for --results"


def scores_of(lines: Sequence[tuple[int, str]], header: Header) -> list[Score]:
    """Return the columns that may have the score: first those that best explain what was kept, then as they stand."""
    taken = {*header.places.values(), *(at for _, at in header.verdicts)}
    rows: list[tuple[Status, list[str]]] = []
    for number, line in lines:
        cells = header.split(line, header.columns)
        if number > header.line and len(cells) > max(at for _, at in header.verdicts):
            try:
                rows.append((read_verdict([(name, cells[at]) for name, at in header.verdicts]), cells))
            except UnreadCellError:
                continue
    found: list[tuple[float, Score]] = []
    for at, cell in enumerate(header.cells):
        name = cell.strip()
        if at in taken or not name or name_of(name) in _NO_SCORES:
            continue
        values = [(status, _number(cells[at]) if at < len(cells) else None) for status, cells in rows]
        measured = [(status, value) for status, value in values if status in (Status.KEEP, Status.DISCARD)]
        if not measured or 2 * sum(value is not None for _, value in measured) < len(measured):
            continue
        compared = compare_kept(measured)
        total = compared.larger + compared.smaller
        share = max(compared.larger, compared.smaller) / total if total else 0.0
        direction = compared.larger_is_better
        found.append((share, Score(name, False if direction is None and is_minimized(name) else direction)))
    return [score for _, score in sorted(found, key=lambda each: -each[0])][:_MOST_SCORES]


def _number(cell: str) -> float | None:
    try:
        return read_number(cell, "")[0]
    except UnreadCellError:
        return None
