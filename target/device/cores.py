"""Counts the physical cores that this process may use, by its affinity and the quota of its control group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SYSTEM: Final = Path("/")
_SIBLINGS: Final = ("core_cpus_list", "thread_siblings_list")  # the second is its name before Linux 5.2


def usable_cores(system: Path = _SYSTEM) -> int:
    """Return the number of physical cores that this process may use, at least 1.

    Two hardware threads of one core count once. A quota of 3.5 CPUs counts as 3 cores.

    Args:
        system: Directory that holds `proc` and `sys`.

    Source: Linux, Documentation/admin-guide/cputopology.rst, cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (v1).
    """
    cpus = system / "sys/devices/system/cpu"
    cores = {_core_of(cpus / f"cpu{number}") for number in os.sched_getaffinity(0)}
    return max(1, int(min([len(cores), *_quotas(system)])))


def _core_of(cpu: Path) -> str:
    """Return what all hardware threads of one core have in common."""
    for name in _SIBLINGS:
        try:
            return (cpu / "topology" / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
    return cpu.name  # the kernel does not say, so each CPU counts as a core


def _quotas(system: Path) -> Iterator[float]:
    """Yield the CPUs that each control group around this process grants; none for a group without a limit."""
    for group in _groups(system):
        for quota, period in (_read_v2(group), _read_v1(group)):
            if quota.isdigit() and period.isdigit() and int(period):  # `max` and -1 mean no limit
                yield int(quota) / int(period)


def _groups(system: Path) -> Iterator[Path]:
    """Yield the directories of the control group of this process and of those around it."""
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = system / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # In a container the path can be the host's, which does not exist below this mount. The top of the mount exists.
        place = mount / os.path.normpath(f"/{path}").lstrip("/")
        while place != mount:
            yield place
            place = place.parent
        yield mount


def _read_v2(group: Path) -> tuple[str, str]:
    words = _read(group / "cpu.max").split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _read_v1(group: Path) -> tuple[str, str]:
    return _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
