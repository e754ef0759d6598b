"""The directory of one child: its inputs, and the files that are read from it after the child has ended.

train.py prepare.py run.json    its inputs, read-only, compared at the end with the originals
home/ tmp/                      private HOME, TMPDIR and compile caches
out/                            its results: curve.tsv, epochs.txt, statistics.json, weights.pt
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from target.evaluation import Outcome
from target.feedback import CandidateFailure
from target.process.trees import remove_tree
from target.training_statistics import TrainingStatistics

PREPARE: Final = Path(__file__).parents[1] / "prepare.py"
CURVE_POINTS: Final = 2_000
_CURVE_BYTES: Final = 4 << 20
_COPY_BYTES: Final = 1 << 20
_NUMBER_BYTES: Final = 32
_STATISTICS_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """A copy of a state_dict file in sealed memory, which no process can change, or open without the descriptor.

    Attributes:
        fd: The memory file.
        sha256: Hash of its bytes.
    """

    fd: int
    sha256: str

    def close(self) -> None:
        """Free the memory."""
        os.close(self.fd)


class Workspace:
    """A fresh workspace; leaving the `with` block removes it with all that the candidate left there.

    Args:
        parent: Where it is made.
        source: The program.
        run: Contents of run.json, without the output directory.
    """

    def __init__(self, parent: Path, source: str, run: Mapping[str, Any]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self._root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for name in ("home", "tmp", "out"):
            (self.root / name).mkdir()
        self._inputs = {
            "train.py": source.encode(),
            "prepare.py": PREPARE.read_bytes(),
            "run.json": json.dumps({**run, "out": str(self.root / "out")}, indent=1).encode(),
        }
        for name, content in self._inputs.items():
            (self.root / name).write_bytes(content)
            (self.root / name).chmod(0o444)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._root_fd)
        remove_tree(self.root)

    def refuse_changes(self) -> None:
        """Compare the inputs with the originals; call it after the child has ended.

        Raises:
            CandidateFailure: One was changed.
        """
        for name, content in self._inputs.items():
            if self._read(name, limit_bytes=len(content)) != content:
                raise CandidateFailure(
                    Outcome.REJECTED, f"{name} is read-only, but was changed during the run; do not change it"
                )

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return the reported (seconds, loss) pairs: the finite ones, thinned to `CURVE_POINTS`."""
        lines = (self._read("out/curve.tsv", limit_bytes=_CURVE_BYTES) or b"").decode(errors="replace").splitlines()
        points = [point for line in lines if (point := _point(line))]
        step = max(1, math.ceil(len(points) / CURVE_POINTS))
        return tuple(points[::step])

    def epochs(self) -> float | None:
        """Return how often the program reports having read the training text; None without a report."""
        text = (self._read("out/epochs.txt", limit_bytes=_NUMBER_BYTES) or b"").decode(errors="replace")
        try:
            epochs = float(text)
        except ValueError:
            return None
        return epochs if math.isfinite(epochs) else None

    def statistics(self) -> TrainingStatistics | None:
        """Return what `prepare` measured beside the curve; None if the program did not leave it whole."""
        content = self._read("out/statistics.json", limit_bytes=_STATISTICS_BYTES) or b""
        try:
            return TrainingStatistics.from_json(json.loads(content))
        except (ValueError, RecursionError):
            return None

    def take_weights(self, limit_bytes: int) -> Weights | None:
        """Copy out/weights.pt to sealed memory; call it after the child has ended. None if there is no such file.

        Raises:
            CandidateFailure: It is larger than `limit_bytes`.
        """
        source = open_inside(self._root_fd, "out/weights.pt")
        if source is None:
            return None
        with os.fdopen(source, "rb", buffering=0) as file:
            if (size := os.fstat(source).st_size) > limit_bytes:
                raise CandidateFailure(
                    Outcome.REJECTED, f"weights: weights.pt must be at most {limit_bytes} bytes, got {size}"
                )
            copy = os.memfd_create("weights", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            digest = hashlib.sha256()
            while chunk := file.read(_COPY_BYTES):
                digest.update(chunk)
                os.write(copy, chunk)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
        return Weights(copy, digest.hexdigest())

    def _read(self, name: str, *, limit_bytes: int) -> bytes | None:
        return read_inside(self._root_fd, name, limit_bytes=limit_bytes)


def open_inside(root_fd: int, name: str) -> int | None:
    """Open a regular file below a directory without following a link that a candidate may have put in its way.

    Returns:
        The descriptor; None if it is not a regular file there.
    """
    *folders, leaf = Path(name).parts
    opened: list[int] = []
    try:
        for folder in folders:
            opened.append(
                os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=(opened or [root_fd])[-1])
            )
        fd = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=(opened or [root_fd])[-1])
    except OSError:
        return None
    finally:
        for folder_fd in opened:
            os.close(folder_fd)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return fd
    os.close(fd)
    return None


def read_inside(root_fd: int, name: str, *, limit_bytes: int) -> bytes | None:
    """Return a file's first bytes, one more than the limit if it is longer; None if it is not a regular file."""
    fd = open_inside(root_fd, name)
    if fd is None:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(limit_bytes + 1)


def _point(line: str) -> tuple[float, float] | None:
    try:
        seconds, loss = map(float, line.split("\t"))
    except ValueError:
        return None
    return (seconds, loss) if math.isfinite(seconds) and math.isfinite(loss) else None
