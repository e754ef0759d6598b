"""The files that a confined child may use: its workspace, the interpreter, a few devices, and none of the user's files.

It may use only the installed packages that it needs (`target/sandbox/packages.py`), not whole prefixes.
"""

from __future__ import annotations

import functools
import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.sandbox.access import Access
from target.sandbox.landlock import Access as Right
from target.sandbox.landlock import Grant
from target.sandbox.packages import needed_places, package_folders, without_packages
from target.sandbox.toolchain import compiler_folders

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS: Final = ("ld.so.cache", "localtime", "nsswitch.conf", "passwd")  # of /etc, which holds secrets too
# of a prefix: it may be that of conda, with copies of all packages in pkgs/ and other environments in envs/
_OF_PREFIX: Final = ("bin", "etc", "include", "lib", "lib64", "libexec", "nvvm", "pyvenv.cfg", "share", "targets")
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
SHARED_MEMORY: Final = "/dev/shm"
_OF_WORKERS: Final = ("/etc/hosts", "/sys/bus/pci", "/sys/class/net", "/sys/devices")  # torchrun and gloo look there
_OWN_THREADS: Final = "/proc/self/task"  # of the confined process; its descendants have others


def child_grants(
    workspace: Path,
    *,
    access: Access,
    readable: tuple[Path, ...],
    runnable: tuple[Path, ...] = (),
    has_workers: bool = False,
) -> Iterator[Grant]:
    """Yield the grants of a child.

    Args:
        workspace: Its directory; only home/, tmp/ and out/ in it can be written.
        access: Its access to the device.
        readable: Further paths that it may read.
        runnable: Further paths that it may read and execute from.
        has_workers: Whether the processes that it starts may be worker processes of Python.
    """
    yield Grant(workspace, Right.READ)
    for name in ("home", "tmp", "out"):
        yield Grant(workspace / name, Right.WRITE)
    if has_workers:
        yield Grant(Path(SHARED_MEMORY), Right.WRITE | Right.MAKE_SOCK)
        for path in map(Path, _OF_WORKERS):
            yield Grant(path, Right.READ)
    for path in readable:
        yield Grant(path, Right.READ)
    yield from library_grants()
    for path in (*runnable, *map(Path, access.runnable)):
        yield Grant(path, Right.RUN)
    for path in (*(Path("/etc", name) for name in _SETTINGS), *map(Path, _MACHINE), *map(Path, access.readable)):
        yield Grant(path, Right.READ)
    yield Grant(Path(os.devnull), Right.DEVICE | Right.TRUNCATE)
    for path in map(Path, access.devices):
        yield Grant(path, Right.DEVICE | Right.READ_DIR)
    if access.thread_names:
        # the driver opens them with O_TRUNC, a right of its own
        yield Grant(Path(_OWN_THREADS), Right.READ | Right.WRITE_FILE | Right.TRUNCATE)


@functools.cache
def library_grants() -> tuple[Grant, ...]:
    """Return the grants for the system, the compiler, the interpreter and its packages.

    A zygote calls this before it forks.
    """
    whole = {path for path in trees() if trees().isdisjoint(path.parents)}
    folders = package_folders(trees())
    rest = (each for tree in sorted(whole) for each in without_packages(str(tree), folders))
    spared = tuple(Grant(Path(path), Right.RUN if everything else Right.READ_DIR) for path, everything in rest)
    named = tuple(Grant(path, Right.RUN) for path in needed_places())
    return (*spared, *named, *(Grant(Path(folder), Right.READ_DIR) for folder in folders))


@functools.cache
def trees() -> frozenset[Path]:
    """Return the real paths of the granted directories and files, except the package folders in them."""
    prefixes = {Path(path) for path in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}
    found = {prefix / name for prefix in prefixes for name in _OF_PREFIX}
    found |= {*map(Path, _SYSTEM), *_linked(), *compiler_folders()}
    return frozenset(path.resolve() for path in found if path.exists())


def libraries() -> set[Path]:
    """Return the directories of Python and its packages; all of sys.path would include editable projects."""
    installed = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, site.getusersitepackages()}
    installed |= {entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    found = {*map(Path, installed), *_linked()}
    return {path for path in found if path.is_absolute() and found.isdisjoint(path.parents)}


def _linked() -> set[Path]:
    paths = (*os.environ.get("LD_LIBRARY_PATH", "").split(":"), os.environ.get("CUDA_HOME", ""))
    return {Path(path) for path in paths if Path(path).is_absolute()}
