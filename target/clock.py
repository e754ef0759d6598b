"""The parent's clock: what a process tree has used, seen from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass

from target.processes import descendants, usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a child is killed.

    Attributes:
        cpu_seconds: CPU time of the tree; None for no limit.
        wall_seconds: Wall-clock time.
    """

    cpu_seconds: float | None
    wall_seconds: float


class TreeClock:
    """CPU time, wall time and memory of the processes below `root`, from now on.

    Two sums are taken and the larger one counts; neither can exceed the truth. One adds what `root` has reaped to what
    is alive, and is exact where parents wait for their children. The other adds what every process was last seen with,
    and still has those whose parent ignores SIGCHLD, which the kernel adds to nobody.

    Args:
        root: A subreaper that does no work of its own.
    """

    def __init__(self, root: int) -> None:
        self._root = root
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
        """Look at the tree; call it often, for what lives and dies between two looks can be missed."""
        root = usage(self._root)  # read first: a child that is reaped meanwhile must not count twice
        total = root.reaped_seconds - self._reaped_before if root else 0.0
        resident = 0
        for pid in descendants(self._root):
            if used := usage(pid):
                total += used.own_seconds + used.reaped_seconds
                resident += used.resident_bytes
                self._seen[pid, used.started_ticks] = used.own_seconds
        self.cpu_seconds = max(self.cpu_seconds, total, sum(self._seen.values()))
        self.peak_resident_bytes = max(self.peak_resident_bytes, resident)

    def settle(self, cpu_seconds: float) -> None:
        """Take in the exact CPU time of what was reaped, once nothing is alive."""
        self.cpu_seconds = max(self.cpu_seconds, cpu_seconds)

    def exceeded(self, limits: Limits) -> str | None:
        """Return which limit has passed, in words, or None."""
        if limits.cpu_seconds is not None and self.cpu_seconds > limits.cpu_seconds:
            return f"{self.cpu_seconds:.1f} CPU seconds used"
        if self.wall_seconds > limits.wall_seconds:
            return f"{self.wall_seconds:.1f} seconds passed"
        return None
