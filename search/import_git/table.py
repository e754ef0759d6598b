"""The rows of a table of experiments, and how rows that cannot be used are told to the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.trial import Status
from search.views.text import counted
from target.metric import Metric

_TOLD_LINES: Final = 5


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
        label: The name of the experiment in place of a hash, such as exp4; None for none.
    """

    line: int
    commit: str | None
    value: float | None
    memory_bytes: int | None
    status: Status
    description: str
    label: str | None = None


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
        rows: The experiments, in their order.
        left_out: Rows that cannot be read.
        notes: Other remarks for the user, as sentences.
        larger_is_better: The direction that the table states; None if it states none.
        heading: The metric whose name and direction its header has, as `search.export` writes it; else None.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    larger_is_better: bool | None = None
    heading: Metric | None = None

    def leave_out_other_scales(self, scales: Mapping[int, str], metric: str) -> None:
        """Leave out scores in percent, or of a number of questions, among scores that are not.

        Shares such as 3/8 among fractions such as 0.25 are fractions.

        Args:
            scales: By line, of each row with a score: % for percent, /33 for a share of 33, else nothing.
            metric: Name of the score.
        """
        plain = [row.value for row in self.rows if row.value is not None and not scales[row.line]]
        if any(0 < value < 1 for value in plain) and all(0 <= value <= 1 for value in plain):
            scales = {line: "" if scale.startswith("/") else scale for line, scale in scales.items()}
        usual = "" if "" in scales.values() else next(iter(scales.values()), "")
        for line, scale in scales.items():
            if scale != usual:
                said = "in percent" if scale == "%" else f"of {scale[1:]}"
                self.left_out.append(LeftOut(line, f"a {metric} {said} among others"))
        self.rows = [row for row in self.rows if scales.get(row.line, usual) == usual]


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
