"""A candidate's output: kept in a file that never exceeds its limit, and its end in memory for the last words."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from target.errors import machine_errors

LIMIT_BYTES = 1_000_000
_TAIL_BYTES = 16_384  # enough for the last words
_CHUNK_BYTES = 65_536
_MARKER_BYTES = 100
LEFT_OUT = r"\[\.\.\. \d+ bytes left out \.\.\.\]"
"""Pattern of the line that replaces the missing middle of a long log."""
_JOIN_SECONDS = 10.0


class RunLog:
    """Collects the output of the children of one evaluation.

    The first half of the limit is written at once, so that a person can follow it. After that the newest output is
    held in memory and written when the log is closed. A line between the two says how much was left out. If something
    cannot be written, for example because the disk is full, closing raises an `OSError`.

    Args:
        path: The file; an existing one is replaced.
        echo: Gets a copy of the output, up to the same limit.
        limit_bytes: Largest size of the file.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, *, echo: BinaryIO | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self._echo = echo
        self._head_left = limit_bytes // 2
        self._end = _Ring(limit_bytes - limit_bytes // 2 - _MARKER_BYTES)
        self._last = _Ring(_TAIL_BYTES)
        self._failure: OSError | None = None

    def __enter__(self) -> Self:
        with machine_errors(f"cannot write the log {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if self._end.dropped_bytes:
                self._write(b"\n[... %d bytes left out ...]\n" % self._end.dropped_bytes)
            self._write(self._end.content())
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def pipe(self) -> Iterator[int]:
        """Give a pipe to write to. Leave the block only after all writers have ended; then everything is in the log."""
        self._last = _Ring(_TAIL_BYTES)
        read_fd, write_fd = os.pipe()
        pump = threading.Thread(target=self._pump, args=(read_fd,), daemon=True)
        pump.start()
        try:
            yield write_fd
        finally:
            os.close(write_fd)
            pump.join(_JOIN_SECONDS)

    def tail(self) -> str:
        """Return the last words of what the newest pipe carried; complete once its `with` block has ended."""
        return self._last.content().decode(errors="replace")

    def _pump(self, read_fd: int) -> None:
        with os.fdopen(read_fd, "rb", buffering=0) as source:
            while chunk := source.read(_CHUNK_BYTES):
                self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        self._last.add(chunk)
        head = chunk[: self._head_left]
        if head:
            self._head_left -= len(head)
            self._write(head)
            if self._echo:
                self._echo.write(head)
                self._echo.flush()
        self._end.add(chunk[len(head) :])

    def _write(self, content: bytes) -> None:
        """Write, or keep the error until the log is closed: no candidate may fail because its pipe is not read."""
        left = memoryview(content)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._failure = OSError(error.errno, error.strerror, str(self.path))


class _Ring:
    """Holds the newest bytes of a stream, up to a limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self.dropped_bytes = 0

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        while self._held_bytes > self._limit_bytes:
            surplus = self._held_bytes - self._limit_bytes
            oldest = self._chunks.popleft()
            if len(oldest) > surplus:
                self._chunks.appendleft(oldest[surplus:])
            dropped = min(surplus, len(oldest))
            self._held_bytes -= dropped
            self.dropped_bytes += dropped

    def content(self) -> bytes:
        return b"".join(self._chunks)
