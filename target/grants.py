"""Which files a confined child may use: its workspace, the interpreter, a few devices; nothing of the user's."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.landlock import Access, Grant

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS: Final = ("ld.so.cache", "localtime", "nsswitch.conf", "passwd")  # of /etc, which holds secrets too
# what torch and libc ask about the machine; /proc of the child itself, not that of other processes
_MACHINE: Final = (
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
)
_CUDA: Final = ("/proc/devices", "/proc/driver/nvidia", "/proc/modules", "/sys/bus/pci", "/sys/devices", "/sys/module")


def child_grants(
    workspace: Path, *, device: str, readable: tuple[Path, ...], runnable: tuple[Path, ...] = ()
) -> Iterator[Grant]:
    """Yield what a child may use.

    Args:
        workspace: Its directory; only home/, tmp/ and out/ in it can be written.
        device: Where its model runs.
        readable: Further paths that it may read.
        runnable: Further paths that it may read and execute from.
    """
    yield Grant(workspace, Access.READ)
    for name in ("home", "tmp", "out"):
        yield Grant(workspace / name, Access.WRITE)
    for path in readable:
        yield Grant(path, Access.READ)
    for path in (*map(Path, _SYSTEM), *libraries(), *runnable):
        yield Grant(path, Access.RUN)
    for path in (*(Path("/etc", name) for name in _SETTINGS), *map(Path, _MACHINE)):
        yield Grant(path, Access.READ)
    yield Grant(Path(os.devnull), Access.DEVICE | Access.TRUNCATE)
    if device == "cuda":
        for path in map(Path, _CUDA):
            yield Grant(path, Access.READ)
        for path in Path("/dev").glob("nvidia*"):
            yield Grant(path, Access.DEVICE | Access.READ_DIR)


def libraries() -> set[Path]:
    """Return where Python and its packages are: not all of sys.path, which an editable install leads to a project."""
    installed = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, site.getusersitepackages()}
    installed |= {entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    linked = (*os.environ.get("LD_LIBRARY_PATH", "").split(":"), os.environ.get("CUDA_HOME", ""))
    found = {Path(path) for path in (*installed, *linked) if Path(path).is_absolute()}
    return {path for path in found if found.isdisjoint(path.parents)}
