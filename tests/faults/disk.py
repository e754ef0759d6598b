"""A small private disk: a tmpfs in a mount namespace, which needs root or user namespaces."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.driver import Driver

UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


@functools.cache
def can_mount() -> bool:
    try:
        tried = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


class SmallDisk:
    """A disk that only the driver's processes see; `copy` shows what is on it.

    Args:
        folder: Where it is mounted.
        size_kb: Its size.
    """

    def __init__(self, driver: Driver, folder: Path, *, size_kb: int) -> None:
        self.root = folder / "disk"
        self.root.mkdir()
        self._driver = driver
        self._copies = folder / "copies"
        self._run("mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(self.root))

    def fill(self) -> None:
        self._driver.ask({"fill": str(self.root)})

    def leave(self, *, bytes_free: int) -> None:
        self._run("truncate", "-s", f"-{bytes_free}", str(self.root / "filler"))

    def make_room(self) -> None:
        self._run("rm", "-f", str(self.root / "filler"))

    def copy(self) -> Path:
        self._copies.mkdir(exist_ok=True)
        copy = self._copies / str(len(list(self._copies.iterdir())))
        self._run("cp", "-r", str(self.root), str(copy))
        return copy

    def _run(self, *command: str) -> None:
        done = self._driver.ask({"run": command})
        assert done["exit"] == 0, done["err"]


def small_disk_driver() -> Driver:
    """Return a driver that can mount; the test is skipped where this is not allowed."""
    if not can_mount():
        pytest.skip("neither root nor user namespaces: no private disk to fill")
    return Driver(*UNSHARE)
