"""Namespaces, by bubblewrap: the zygote and all candidates run in new ones.

The zygote sees no process, network or System V memory of the machine. It sees the machine's files, read-only, without
homes and temporary directories. When the zygote ends, the kernel ends all of its descendants, even if the evaluator is
gone. The cost is paid once for each zygote, not for each child.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from target.sandbox.access import NO_DEVICE, Access
from target.sandbox.grants import SHARED_MEMORY, libraries
from target.sandbox.toolchain import compiler_folders

LAYER: Final = "namespaces"
_PACKAGE: Final = Path(__file__).parents[1]
_PRIVATE: Final = ("/home", "/root", "/tmp", "/var/tmp", "/run", "/mnt", "/media", "/srv")
_PROBE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The files that a zygote and its descendants see, beside the interpreter and the system.

    Attributes:
        writable: Directories that stay writable.
        readable: Paths that are visible even if they are in a home or a temporary directory.
        withheld: Directories that appear empty.
        access: What candidates need for their device.
        shared_memory: Whether they have a writable /dev/shm of their own. The zygote empties it behind each of them.
    """

    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    withheld: tuple[Path, ...] = ()
    access: Access = NO_DEVICE
    shared_memory: bool = False


def missing() -> str | None:
    """Return what this machine lacks for namespaces, and what to do; None if it has them."""
    return _probe()


def wrap(command: Iterable[str], view: View) -> list[str]:
    """Return a command that runs another command in new namespaces, as the first process there."""
    return [*_prefix(view), *command]


@functools.cache
def _probe() -> str | None:
    if shutil.which("bwrap") is None:
        return "namespaces (the program bwrap is required: apt install bubblewrap)"
    try:
        found = subprocess.run(
            wrap([sys.executable, "-S", "-c", ""], View()),
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"namespaces (bwrap must work here, but {error})"
    if found.returncode:
        said = (found.stderr.strip().splitlines() or [f"exit status {found.returncode}"])[-1]
        return f"namespaces (bwrap must work here, but it said {said!r}; containers and some distributions forbid them)"
    return None


def _prefix(view: View) -> Iterator[str]:
    yield from ("bwrap", "--die-with-parent", "--as-pid-1", "--unshare-pid", "--unshare-net", "--unshare-ipc")
    if os.geteuid() == 0:  # as for candidates: reads other users' files, because the interpreter may be theirs
        yield from ("--cap-drop", "ALL", "--cap-add", "CAP_DAC_READ_SEARCH")
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    private = _private()
    for place in private:
        yield from ("--tmpfs", place)
    for place in _real(libraries() | compiler_folders() | {_PACKAGE, *view.readable}):
        if any(place.startswith(f"{other}/") for other in private):
            yield from ("--ro-bind-try", place, place)
    for place in _real(view.writable):
        yield from ("--bind", place, place, "--setenv", "TMPDIR", place)  # torch looks for one when it is imported
    for place in _real(view.withheld):
        yield from ("--tmpfs", place, "--remount-ro", place)
    for device in view.access.devices:
        yield from ("--dev-bind", device, device)
    if view.shared_memory:
        yield from ("--tmpfs", SHARED_MEMORY)
    for place in ("/dev", *private):  # a candidate could leave files there for the next one
        yield from ("--remount-ro", place)
    yield from ("--chdir", str(_PACKAGE.parent), "--")


def _real(paths: Iterable[Path]) -> list[str]:
    return sorted({os.path.realpath(path) for path in paths})


def _private() -> list[str]:
    """Return the top-level private directories."""
    found = {place for place in _real(map(Path, (*_PRIVATE, _home()))) if Path(place).is_dir()} - {"/"}
    return sorted(place for place in found if not any(place.startswith(f"{other}/") for other in found))


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir  # $HOME is scrubbed where zygotes are started
    except KeyError:
        return "/root"
