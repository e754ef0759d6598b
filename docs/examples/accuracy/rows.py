"""The rows of the task: drawn once, from the system's entropy, so that no program can draw them again.

public/rows.csv        rows with their labels, to train on
public/questions.csv   held-out rows without labels
labels.txt             the labels of the questions; outside `public`, which alone is copied for a program
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from target.errors import TargetError, machine_errors

CLASSES: Final = 4
QUESTIONS: Final = 1_000
_ROWS: Final = 400
_NUMBERS: Final = 8  # in each row
_SPREAD: Final = 1.6  # of the rows of a class; their centres have a spread of 1


def make_rows(folder: Path) -> Path:
    """Draw the rows unless they are there, and return the public directory.

    Raises:
        TargetError: The directory is there and holds something else, or it cannot be written.
    """
    if (folder / "labels.txt").is_file():
        return folder / "public"
    with machine_errors(f"cannot make {folder}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".rows-", dir=folder.parent) as parent:
            new = Path(parent) / "rows"
            _draw(new)
            with contextlib.suppress(OSError):
                new.rename(folder)  # all at once: an interrupted draw leaves nothing that looks complete
    if not (folder / "labels.txt").is_file():  # and not drawn by another search in the meantime
        raise TargetError(f"target.data must be a new directory, or one made before, got {folder}")
    return folder / "public"


def read_labels(folder: Path) -> tuple[int, ...]:
    """Return the hidden labels of the questions, in their order."""
    return tuple(map(int, (folder / "labels.txt").read_text(encoding="utf-8").split()))


def _draw(folder: Path) -> None:
    rng = np.random.default_rng()
    centres = rng.normal(size=(CLASSES, _NUMBERS))
    labels = rng.integers(CLASSES, size=_ROWS + QUESTIONS)
    rows = centres[labels] + _SPREAD * rng.normal(size=(len(labels), _NUMBERS))
    (folder / "public").mkdir(parents=True)
    known = np.column_stack([rows[:_ROWS], labels[:_ROWS]])
    np.savetxt(folder / "public" / "rows.csv", known, fmt="%.4f," * _NUMBERS + "%d")
    np.savetxt(folder / "public" / "questions.csv", rows[_ROWS:], fmt="%.4f", delimiter=",")
    np.savetxt(folder / "labels.txt", labels[_ROWS:], fmt="%d")
    (folder / "labels.txt").chmod(0o600)  # for other users; programs are kept out by the sandbox
