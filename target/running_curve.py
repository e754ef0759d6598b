"""The loss of a training while it runs: a small file beside its log, for those who watch the search.

Only trainings on the machine of the search have it: the files of other hosts come when a training has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.stopping import Curve, smoothed

_SUFFIX: Final = ".curve.part"  # with the dot in front, what a killed search leaves is removed like other half files


def write_running_loss(log: Path, curve: Curve) -> None:
    """Write the smoothed loss at the last point of a curve; nothing if there is none yet, or no room.

    Args:
        log: The log of the training.
        curve: Its losses so far.
    """
    loss = smoothed(curve, curve[-1][0]) if curve else None
    if loss is None:
        return
    path = _path(log)
    new = path.with_name(f"{path.name}.part")
    with contextlib.suppress(OSError):  # it is only shown: a full disk is reported where something is lost
        new.write_text(f"{curve[-1][0]:.6g} {loss:.6g}\n", encoding="ascii")
        new.replace(path)


@contextlib.contextmanager
def running_loss_file(log: Path) -> Iterator[None]:
    """Remove the file of a training when the block ends."""
    try:
        yield
    finally:
        _path(log).unlink(missing_ok=True)


def read_running_loss(folder: Path) -> tuple[float, float] | None:
    """Return the time of the training under way in the folder of a trial, in seconds, and its smoothed loss, in nats.

    None if there is no training, or none that has reported a curve.
    """
    for path in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            seconds, loss = path.read_text(encoding="ascii").split()
            return float(seconds), float(loss)
    return None


def _path(log: Path) -> Path:
    return log.with_name(f".{log.name}{_SUFFIX}")
