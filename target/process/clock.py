"""The parent's clock: the time, memory and disk that a process tree has used, seen from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass

from target.evaluation import Outcome
from target.process.holdings import FILES, held_disk_bytes, held_memory_bytes
from target.process.processes import descendants, usage

_DISK_LOOK_FRACTION = 0.2  # of the time, at most: walking a tree of many files takes long


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits at which a child is killed.

    Attributes:
        cpu_seconds: CPU time of the tree; None for no limit.
        wall_seconds: Wall-clock time.
        memory_bytes: Memory of the tree, beyond that of its root; None for no limit.
        disk_bytes: Disk space of its files; None for no limit.
    """

    cpu_seconds: float | None
    wall_seconds: float
    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that was exceeded.

    Attributes:
        outcome: The outcome of the evaluation.
        words: The measured amount, in words.
    """

    outcome: Outcome
    words: str


class TreeClock:
    """CPU time, wall time, memory and disk of the processes below `root`, from now on.

    Two sums are computed and the larger one counts; neither can exceed the true value. The first adds what `root` has
    reaped to what live processes have used. It is exact where parents wait for their children. The second adds the last
    figure seen of every process. It includes children whose parent ignores SIGCHLD; the kernel charges their time to no
    process.

    Args:
        root: A subreaper that does no work of its own.
        workspace: The only directory in which the processes can write.
    """

    def __init__(self, root: int, workspace: str) -> None:
        self._root = root
        self._workspace = workspace
        self._root_bytes = 0
        self._pids: list[int] = []
        self._next_disk_look = 0.0
        self._began = time.monotonic()
        before = usage(root)
        self._reaped_before = before.reaped_seconds if before else 0.0
        self._seen: dict[tuple[int, int], float] = {}
        self.cpu_seconds = 0.0
        self.peak_resident_bytes = 0

    @property
    def wall_seconds(self) -> float:
        """Time since the clock was made."""
        return time.monotonic() - self._began

    def poll(self) -> None:
        """Look at the tree; call it often, because a process that starts and ends between two calls can be missed."""
        root = usage(self._root)  # read first: a child that is reaped meanwhile must not count twice
        total = root.reaped_seconds - self._reaped_before if root else 0.0
        resident = 0
        self._root_bytes = root.resident_bytes if root else 0
        self._pids = descendants(self._root)
        for pid in self._pids:
            if used := usage(pid):
                total += used.own_seconds + used.reaped_seconds
                resident += used.resident_bytes
                self._seen[pid, used.started_ticks] = used.own_seconds
        self.cpu_seconds = max(self.cpu_seconds, total, sum(self._seen.values()))
        self.peak_resident_bytes = max(self.peak_resident_bytes, resident)

    def settle(self, cpu_seconds: float) -> None:
        """Take the exact CPU time of all reaped processes, once none is alive."""
        self.cpu_seconds = max(self.cpu_seconds, cpu_seconds)

    def exceeded(self, limits: Limits) -> Excess | None:
        """Return which time limit was exceeded, or None."""
        if limits.cpu_seconds is not None and self.cpu_seconds > limits.cpu_seconds:
            return Excess(Outcome.TIMED_OUT, f"{self.cpu_seconds:.1f} CPU seconds used")
        if self.wall_seconds > limits.wall_seconds:
            return Excess(Outcome.TIMED_OUT, f"{self.wall_seconds:.1f} seconds passed")
        return None

    def overfull(self, limits: Limits) -> Excess | None:
        """Return which memory or disk limit the processes exceeded at the last `poll`, or None."""
        return self._excess_memory(limits.memory_bytes) or self._excess_disk(limits.disk_bytes)

    def _excess_memory(self, limit_bytes: int | None) -> Excess | None:
        if limit_bytes is None:
            return None
        allowed = limit_bytes + self._root_bytes
        held = held_memory_bytes(self._pids, enough_bytes=allowed)
        if held <= allowed:
            return None
        figures = f"the processes held {held / 1e6:.0f} MB together, {allowed / 1e6:.0f} are allowed"
        return Excess(Outcome.OUT_OF_MEMORY, f"out of memory: {figures}")

    def _excess_disk(self, limit_bytes: int | None) -> Excess | None:
        began = time.monotonic()
        if limit_bytes is None or began < self._next_disk_look:
            return None
        held, files = held_disk_bytes(self._workspace, self._pids)
        now = time.monotonic()
        self._next_disk_look = now + (now - began) / _DISK_LOOK_FRACTION
        if held <= limit_bytes and files <= FILES:
            return None
        figures = f"{held / 1e6:.0f} MB in {files} files; {limit_bytes / 1e6:.0f} MB and {FILES} files are allowed"
        return Excess(Outcome.CRASHED, f"too much disk: its files took {figures}")
