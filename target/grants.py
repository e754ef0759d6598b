"""Which files a confined child may use: its workspace, the interpreter, a few devices; nothing of the user's."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.access import Access
from target.landlock import Access as Right
from target.landlock import Grant

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
_OWN_THREADS: Final = "/proc/self/task"  # of the process that is confined: its descendants have others


def child_grants(
    workspace: Path, *, access: Access, readable: tuple[Path, ...], runnable: tuple[Path, ...] = ()
) -> Iterator[Grant]:
    """Yield what a child may use.

    Args:
        workspace: Its directory; only home/, tmp/ and out/ in it can be written.
        access: What it needs for its device.
        readable: Further paths that it may read.
        runnable: Further paths that it may read and execute from.
    """
    yield Grant(workspace, Right.READ)
    for name in ("home", "tmp", "out"):
        yield Grant(workspace / name, Right.WRITE)
    for path in readable:
        yield Grant(path, Right.READ)
    for path in (*map(Path, _SYSTEM), *libraries(), *runnable, *map(Path, access.runnable)):
        yield Grant(path, Right.RUN)
    for path in (*(Path("/etc", name) for name in _SETTINGS), *map(Path, _MACHINE), *map(Path, access.readable)):
        yield Grant(path, Right.READ)
    yield Grant(Path(os.devnull), Right.DEVICE | Right.TRUNCATE)
    for path in map(Path, access.devices):
        yield Grant(path, Right.DEVICE | Right.READ_DIR)
    if access.thread_names:
        yield Grant(Path(_OWN_THREADS), Right.READ | Right.WRITE_FILE)


def libraries() -> set[Path]:
    """Return where Python and its packages are: not all of sys.path, which an editable install leads to a project."""
    installed = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, site.getusersitepackages()}
    installed |= {entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    linked = (*os.environ.get("LD_LIBRARY_PATH", "").split(":"), os.environ.get("CUDA_HOME", ""))
    found = {Path(path) for path in (*installed, *linked) if Path(path).is_absolute()}
    return {path for path in found if found.isdisjoint(path.parents)}
