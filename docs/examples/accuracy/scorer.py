"""The scorer: compares the predictions of a program with labels that it never gets. It runs in the worker."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from accuracy.rows import CLASSES, read_labels
from target.command.checkout import CommandSpace
from target.command.evaluator import CommandEvaluator
from target.command.spec import CommandSpec
from target.evaluation import Outcome
from target.feedback import CandidateFailure

PREDICTIONS: Final = "predictions.txt"
_LINE_BYTES: Final = 4  # a digit and the end of the line, with room for CRLF and spaces


class Accuracy:
    """The fraction of questions whose label a program predicts.

    Args:
        labels: The hidden labels.
    """

    verified = True

    def __init__(self, labels: Sequence[int]) -> None:
        self._labels = [str(label) for label in labels]

    def number(self, space: CommandSpace, printed: Mapping[str, str], tail: str) -> tuple[float, Mapping[str, float]]:
        """Return the accuracy; what the program prints does not count.

        Raises:
            CandidateFailure: There is not exactly one valid label for each question.
        """
        del printed, tail
        due = len(self._labels)
        limit = _LINE_BYTES * due
        content = space.read(PREDICTIONS, limit_bytes=limit)
        if content is None:
            raise _refused(f"the program ended without writing {PREDICTIONS}")
        if len(content) > limit:
            raise _refused(f"{PREDICTIONS} must have {due} lines of one digit, got more than {limit} bytes")
        lines = content.decode(errors="replace").splitlines()
        if len(lines) != due:
            raise _refused(f"{PREDICTIONS} must have {due} lines, one for each question, got {len(lines)}")
        valid = {str(label) for label in range(CLASSES)}
        if wrong := next(((at, line) for at, line in enumerate(lines, 1) if line not in valid), None):
            raise _refused(f"{PREDICTIONS}:{wrong[0]}: must be a label from 0 to {CLASSES - 1}, got {wrong[1]!r:.40}")
        return sum(map(operator.eq, lines, self._labels)) / due, {}


def _refused(detail: str) -> CandidateFailure:
    return CandidateFailure(Outcome.REJECTED, f"predictions: {detail}")


def open_evaluator(settings: dict[str, Any], *, scratch: Path, lifelines: Sequence[int]) -> CommandEvaluator:
    """Return the evaluator; see `target.kind.OpenEvaluator`."""
    return CommandEvaluator(
        CommandSpec.from_config(settings["spec"]),
        checkout=Path(settings["checkout"]),
        scratch=scratch,
        lifelines=lifelines,
        scorer=Accuracy(read_labels(Path(settings["data"]))),
    )
