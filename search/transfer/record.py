"""The file of one transfer: its trainings, and what they say. It is `transfer/SIZE/transfer.json` of a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from search.errors import UserError
from search.retraining import Trainings
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.transfer.steps import How

VerdictOnTransfer = Literal["the gain holds", "the gain is gone", "cannot tell"]
VerdictOnStep = Literal["survives", "hurts", "no effect", "cannot tell", "left out"]

FILE: Final = "transfer.json"
"""Name of the file in the folder of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Baseline and best program at one size.

    Attributes:
        n_baseline: Trainings of the baseline.
        n_best: Trainings of the best program.
        baseline: Mean score, lower is better.
        baseline_error: Its standard error; None if one training alone does not tell it.
        best: Mean score of the best program.
        best_error: Its standard error.
        difference: Best minus baseline; negative is better.
        error: Its standard error.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    n_baseline: int
    n_best: int
    baseline: float
    baseline_error: float | None
    best: float
    best_error: float | None
    difference: float
    error: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEffect:
    """What one step of the lineage does at the new size.

    Attributes:
        trial: Number of its trial.
        description: What it changed.
        how: How it was measured; see `Plan`.
        why: Why it was not measured by leaving it out of the best program, or why there is no figure.
        searched: The difference that the search measured for it, negative is better; None if there is none.
        searched_error: Its standard error.
        effect: The difference that it makes here, negative is better; None if it was not measured.
        error: Its standard error.
        p: Two-sided p-value, adjusted for the number of steps.
        verdict: What follows.
    """

    trial: int
    description: str
    how: How
    why: str
    searched: float | None
    searched_error: float | None
    effect: float | None = None
    error: float | None = None
    p: float | None = None
    verdict: VerdictOnStep = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What a transfer found.

    Attributes:
        trial: Number of the best program's trial.
        program_id: Id of the best program, as the search has it.
        changes: What is different at this size: name, value in the search, value here.
        replaced: Constants of the best program that the size sets, although the search had changed them: name and the
            value in the best program.
        seeds: Training seeds, none of which the search has used.
        own: At the size of the search, from its own trainings.
        here: At the new size; None if no seed has a score of both programs.
        share: The difference here over the one in the search; None if the search has no gain, or nothing is here.
        share_low: Lower end of its interval, if the difference in the search is taken as exact.
        share_high: Upper end.
        verdict: Whether the gain holds.
        reason: The reason for it.
        steps: The steps of the lineage; None if they were not asked for.
    """

    trial: int
    program_id: str
    changes: tuple[tuple[str, str, str], ...]
    replaced: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    own: Row
    here: Row | None
    share: float | None
    share_low: float | None
    share_high: float | None
    verdict: VerdictOnTransfer
    reason: str
    steps: tuple[StepEffect, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TransferReport:
        """Rebuild a report; raises `KeyError` or `TypeError` if it does not fit."""
        steps = record["steps"]
        return cls(
            **{
                **record,
                "changes": tuple((name, old, new) for name, old, new in record["changes"]),
                "replaced": tuple((name, value) for name, value in record["replaced"]),
                "seeds": tuple(record["seeds"]),
                "own": Row(**record["own"]),
                "here": record["here"] and Row(**record["here"]),
                "steps": None if steps is None else tuple(StepEffect(**step) for step in steps),
            }
        )


class Record:
    """The file of a transfer, and the folder with its programs and logs.

    Args:
        folder: The folder; it need not exist yet.

    Raises:
        UserError: The file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report, records = _read(folder / FILE)
        self.trainings = Trainings(records)

    def write(self, report: TransferReport | None = None) -> None:
        """Write the trainings, and the report if it is complete."""
        plain = {"report": None if report is None else report.to_json(), "trainings": self.trainings.records}
        write_atomically(self.folder / FILE, json.dumps(plain, indent=1) + "\n")


def folder_of(run: RunDirectory, slug: str) -> Path:
    """Return the folder of a transfer."""
    return run.root / "transfer" / slug


def read_transfers(run: RunDirectory) -> list[TransferReport]:
    """Return the complete transfers of a search.

    Raises:
        UserError: A file is damaged.
    """
    paths = sorted(run.root.glob(f"transfer/*/{FILE}"))
    return [report for path in paths if (report := _read(path)[0])]


def _read(path: Path) -> tuple[TransferReport | None, Sequence[Mapping[str, Any]]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        report = record["report"]
        return (None if report is None else TransferReport.from_json(report)), record["trainings"]
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); move it away to measure again") from error
