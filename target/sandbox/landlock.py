"""Landlock: a process gives up access to all files except those it names, for itself and its descendants.

It needs no privilege. The kernel's interface has grown; `restrict` uses as much of it as this kernel has. No version
covers metadata (chmod, chown, extended attributes; seccomp forbids those), stat, and files that are already open.

A rule belongs to an inode. Files of procfs and sysfs have an inode only as long as the kernel keeps their name in its
cache. When memory is short they get another inode, and the rule is lost. So the process keeps these files open, which
keeps the name in the cache.

Source: https://docs.kernel.org/userspace-api/landlock.html, `include/uapi/linux/landlock.h`. The package `landlock` on
PyPI knows neither signals nor sockets.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NETWORK: Final = 0b11  # bind and connect TCP, since version 4
_SCOPES: Final = 0b11  # abstract sockets and signals, since version 6

ABI_TRUNCATE: Final = 3
ABI_SIGNALS: Final = 6


class Access(enum.IntFlag):
    """The rights to files at or below a path."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # move or link from one directory to another
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15

    READ = READ_FILE | READ_DIR
    RUN = READ | EXECUTE
    WRITE = RUN | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_SYM | REFER
    DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV


_PSEUDO_FILES: Final = ("/proc/", "/sys/")
_OF_FILES: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_ALL: Final = ((1, 13), (2, 14), (3, 15), (5, 16))  # version, number of rights that it handles


@dataclass(frozen=True, slots=True)
class Grant:
    """What stays allowed at a path and below; a missing path is skipped.

    Attributes:
        path: A file or a directory; links are followed.
        access: What may be done.
    """

    path: Path
    access: Access


def abi() -> int:
    """Return the Landlock version of the kernel; 0 if it has none, or if Landlock is switched off."""
    return max(0, _call(_CREATE_RULESET, None, 0, _ASK_VERSION))


def restrict(grants: Sequence[Grant], withheld: Sequence[Path], version: int, *, tcp: bool = False) -> None:
    """Restrict the calling thread, and all processes it will start, to the grants; `no_new_privs` must be set.

    From version 4 on TCP is refused, unless it is allowed. From version 6 on, so are signals to outside processes, and
    their abstract sockets. Descriptors of granted files in procfs and sysfs stay open and are inherited (O_PATH: they
    cannot be read).

    Args:
        grants: What stays allowed; overlapping grants add up.
        withheld: Paths that no grant covers, even if it names a directory above.
        version: As `abi` returned it, at least 1.
        tcp: Whether TCP is allowed.

    Raises:
        OSError: The kernel refuses.
    """
    handled = Access((1 << max(bits for since, bits in _ALL if version >= since)) - 1)
    fields = [
        handled,
        *([0 if tcp else _NETWORK] if version >= 4 else []),
        *([_SCOPES] if version >= ABI_SIGNALS else []),
    ]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _checked(_call(_CREATE_RULESET, attributes, len(attributes), 0), "landlock_create_ruleset")
    closed = [os.path.realpath(path) for path in withheld]
    try:
        for grant in grants:
            for path, access in _around(os.path.realpath(grant.path), grant.access, closed):
                _allow(ruleset, path, access & handled)
        _checked(_call(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _around(path: str, access: Access, withheld: Sequence[str]) -> Iterator[tuple[str, Access]]:
    """Split a grant so that it covers no withheld path: rules only add rights, so the path's neighbours are granted.

    Paths are plain strings: each fork has hundreds of them, and a `Path` costs more than its rule.
    """
    if any(path == other or path.startswith(f"{other}/") for other in withheld):
        return
    inside = [other for other in withheld if other.startswith(f"{path.rstrip('/')}/")]
    if not inside:
        yield path, access
        return
    yield path, access & Access.READ_DIR  # names, not contents: imports list directories
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.is_symlink():  # its destination needs a separate grant
                yield from _around(entry.path, access, inside)


def _allow(ruleset: int, path: str, access: Access) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # missing, or not reachable for us: nothing to allow
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        if access:
            _checked(_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, fd), 0), "landlock_add_rule")
    finally:
        if path.startswith(_PSEUDO_FILES):
            os.set_inheritable(fd, True)  # stays open, also in programs that are started
        else:
            os.close(fd)


def _checked(result: int, call: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")
    return result


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    wide = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return int(_libc().syscall(ctypes.c_long(number), *wide))
