"""Process trees on Linux: finding their processes, what these have used, and ending them.

A child subreaper adopts every orphan among its descendants. So when the kernel says that it has no child to wait for,
no process of its tree is alive. That includes double forks and new sessions.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from target.errors import TargetError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x2008_0522
_CAP_DAC_READ_SEARCH = 2
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_POLL_SECONDS = 0.002
_QUIET_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that one process has used.

    Attributes:
        started_ticks: When it started; with its id, this identifies it.
        ended: Whether only its exit status is left, for its parent.
        own_seconds: CPU time of its own threads.
        reaped_seconds: CPU time of the children it has waited for, and of theirs.
        resident_bytes: Current resident memory.
    """

    started_ticks: int
    ended: bool
    own_seconds: float
    reaped_seconds: float
    resident_bytes: int


def become_subreaper() -> None:
    """Adopt the orphans below the calling process from now on."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill the calling process when `parent`, its parent, dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def forbid_new_privileges() -> None:
    """Make set-user-id programs run without privileges, for the calling process and its descendants."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Leave root only the capability to read other users' files, because the interpreter may be another user's."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if capability != _CAP_DAC_READ_SEARCH:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails without capabilities, and beyond the last one
    kept = 1 << _CAP_DAC_READ_SEARCH if os.geteuid() == 0 else 0
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) and libc.capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def user_threads() -> int:
    """Return how many threads the calling process's user has, as the kernel counts them for a limit."""
    found = 0
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                tasks = (entry / "task").stat()
                found += (tasks.st_nlink - 2) if tasks.st_uid == os.getuid() else 0
    return found


def children(pid: int) -> list[int]:
    """Return the children of a process, zombies included; none if it is gone."""
    found: list[int] = []
    for task in _tasks(pid):
        try:
            found += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            if task.exists():  # a kernel without CONFIG_PROC_CHILDREN
                return [child for child, parent in _parents() if parent == pid]
    return found


def descendants(pid: int) -> list[int]:
    """Return all descendants of a process, parents before their children."""
    found = children(pid)
    for descendant in found:  # the list grows during the loop
        found += [child for child in children(descendant) if child not in found]
    return found


def usage(pid: int) -> Usage | None:
    """Return what a process has used, or None if it is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    user, system, reaped_user, reaped_system = map(int, fields[11:15])  # proc(5) numbers them from 14
    return Usage(
        started_ticks=int(fields[19]),
        ended=fields[0] in "ZX",
        own_seconds=(user + system) / _TICKS_PER_SECOND,
        reaped_seconds=(reaped_user + reaped_system) / _TICKS_PER_SECOND,
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
    )


def kill_descendants(limit_seconds: float, *, keep: Collection[int] = ()) -> bool:
    """Kill and reap all descendants of the calling process, which must be a subreaper.

    Args:
        limit_seconds: How long to try.
        keep: Children to leave alone, with their descendants.

    Returns:
        Whether nothing is left.
    """
    me = os.getpid()
    deadline = time.monotonic() + limit_seconds
    quiet_looks = 0
    if me == 1 and not keep:  # first process of its namespace: the kernel kills all others there at once
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    while True:
        strays = [child for child in children(me) if child not in keep]
        for pid in (stray for child in strays for stray in (child, *descendants(child))):
            kill(pid)
        for child in strays:
            _reap(child)
        quiet_looks = 0 if strays else quiet_looks + 1
        # if children stay, the kernel cannot confirm the end of the rest, and a list that changes may have gaps
        if quiet_looks > _QUIET_LOOKS if keep else quiet_looks and _childless():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def kill(pid: int) -> None:
    """Send SIGKILL to a process; it is not an error if it has ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _childless() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return True
    return False


def _tasks(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        error = ctypes.get_errno()
        raise TargetError(f"prctl({option}) must work, which takes Linux; it failed: {os.strerror(error)}")
