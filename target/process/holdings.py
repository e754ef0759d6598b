"""What a process tree holds: memory, and disk space in its workspace and in files that are deleted but still open.

A parent polls it from outside: what is held only between two polls is missed, what is held for longer is not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from target.process.trees import statuses_below

FILES: Final = 5_000  # and directories: a disk can run out of inodes too
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system
_KIB: Final = 1024


def held_memory_bytes(pids: Iterable[int], *, enough_bytes: int) -> int:
    """Return the total memory of processes, with shared pages split among the processes that share them.

    A forked child shares most pages with its parent. A sum of resident sizes would count these pages many times. But it
    is never too small, and far cheaper, so it is computed first.

    Args:
        pids: The processes; those that have ended hold nothing.
        enough_bytes: Stop looking closer when the answer is certainly at most this.
    """
    resident = {place: _resident_bytes(place) for place in map(_place, pids)}
    if (upper := sum(resident.values())) <= enough_bytes:
        return upper
    return sum(_proportional_bytes(place, otherwise=size) for place, size in resident.items())


def held_disk_bytes(workspace: str, pids: Iterable[int]) -> tuple[int, int]:
    """Return the bytes on disk and the number of the files in a workspace, and of files that are deleted but open.

    Counting stops after `FILES` files.
    """
    sizes: dict[tuple[int, int], int] = {}
    with contextlib.closing(statuses_below(workspace)) as statuses:
        for status in statuses:
            sizes[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK_BYTES
            if len(sizes) > FILES:
                break
    for pid in pids:
        sizes |= _deleted_files(_place(pid))
    return sum(sizes.values()), len(sizes)


def _place(pid: int) -> str:
    """Return the directory of /proc that shows what a process holds: that of another thread if its first one has ended.

    When the first thread ends by itself, its /proc entry no longer shows memory and descriptors, but the other threads
    keep them.
    """
    first = f"/proc/{pid}"
    if _has_memory(first):
        return first
    try:
        threads = [f"{first}/task/{name}" for name in os.listdir(f"{first}/task")]  # noqa: PTH208 -- called often
    except OSError:
        return first
    return next(filter(_has_memory, threads), first)


def _has_memory(place: str) -> bool:
    try:
        with open(f"{place}/statm", encoding="ascii") as file:  # noqa: PTH123
            return not file.read().startswith("0 ")
    except OSError:
        return False


def _deleted_files(place: str) -> dict[tuple[int, int], int]:
    found = {}
    folder = f"{place}/fd"
    try:
        for name in os.listdir(folder):  # noqa: PTH208 -- called twenty times a second
            try:
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116
            except OSError:
                continue  # closed in the meantime
            if not status.st_nlink:
                found[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK_BYTES
    except OSError:
        return {}
    return found


def _resident_bytes(place: str) -> int:
    try:
        with open(f"{place}/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _proportional_bytes(place: str, *, otherwise: int) -> int:
    """Return a process's share of memory: `otherwise` if the kernel does not show it, 0 if the process is ending."""
    try:
        with open(f"{place}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
            return next(int(line.split()[1]) * _KIB for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except (OSError, StopIteration):
        return otherwise
