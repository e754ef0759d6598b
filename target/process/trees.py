"""Walks and removes directories that a candidate may have filled: with thousands of levels, without permissions.

No function here recurses into subdirectories, or needs a path as long as the tree is deep.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEVELS: Final = 14  # of a path relative to an open directory, except the last one: Linux allows 4,095 bytes
_LOGGER: Final = logging.getLogger(__name__)


def statuses_below(root: str | Path) -> Generator[os.stat_result, None, None]:
    """Yield the status of everything below a directory, at any depth; links are not followed.

    Others may change the tree in the meantime. What is gone, or cannot be opened, is skipped.
    """
    try:
        pending = [(_Base(os.open(root, _FOLDER)), ".")]
    except OSError:
        return
    try:
        while pending:
            base, path = pending.pop()
            with contextlib.closing(base):
                yield from _statuses_in(base, path, pending)
    finally:
        for base, _ in pending:
            base.close()


def _statuses_in(base: _Base, path: str, pending: list[tuple[_Base, str]]) -> Iterator[os.stat_result]:
    """Yield the status of each entry of one directory, and add its subdirectories to `pending`."""
    with (
        contextlib.suppress(OSError),
        contextlib.closing(_Base(os.open(path, _FOLDER, dir_fd=base.fd))) as here,
        os.scandir(here.fd) as entries,
    ):
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    near = path.count("/") < _LEVELS
                    pending.append((base.held(), f"{path}/{entry.name}") if near else (here.held(), entry.name))
                yield status


class _Base:
    """An open directory with several holders; it is closed when all of them have closed it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._holders = 1

    def held(self) -> _Base:
        self._holders += 1
        return self

    def close(self) -> None:
        self._holders -= 1
        if not self._holders:
            os.close(self.fd)


def files_below(root: Path, *, enter: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is below a directory, upper levels first, with its path relative to the directory.

    Links are not followed. Paths that are longer than the system allows are left out.

    Args:
        root: The directory.
        enter: Takes the name of a directory, and returns whether to look into it.
    """
    pending = [""]
    for folder in pending:  # grows during the loop
        with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                yield path, entry
                if entry.is_dir(follow_symlinks=False) and enter(entry.name):
                    pending.append(path)


def copy_tree(source: Path, destination: Path) -> None:
    """Copy a directory to a new one; links are copied as links.

    Raises:
        OSError: Something cannot be copied.
    """
    destination.mkdir(parents=True)
    for path, entry in files_below(source):
        if entry.is_dir(follow_symlinks=False):
            (destination / path).mkdir()
        else:
            shutil.copy2(entry.path, destination / path, follow_symlinks=False)


def remove_tree(root: Path, *, last: str | None = None) -> bool:
    """Remove a directory with everything below it; no process may still work in it.

    The contents of a subdirectory are moved to the top first, so that no more than two directories are open at a time.

    Args:
        root: The directory; it need not exist.
        last: Name of a file in it that stays until all else is gone.

    Returns:
        Whether the directory is gone.
    """
    try:
        top = os.open(root, _FOLDER)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        moved = (f".{secrets.token_hex(8)}-{number}" for number in itertools.count())
        progress = True
        while progress and (names := [name for name in os.listdir(top) if name != last]):  # noqa: PTH208 -- a descriptor
            progress = sum(_reduce(top, name, moved) for name in names) > 0  # not any(): it stops at the first
        if names:
            return False
        if last is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(last, dir_fd=top)
        root.rmdir()
    except OSError:
        return False
    finally:
        os.close(top)
    return True


def remove_or_set_aside(root: Path, *, last: str | None = None) -> None:
    """Remove a directory with `remove_tree`; if that fails, rename it and log a warning."""
    if remove_tree(root, last=last):
        return
    aside = root.with_name(f"unremovable-{root.name}")
    with contextlib.suppress(OSError):
        root = root.rename(aside)
    _LOGGER.warning("%s cannot be removed: a program left something in it that you have no permission to remove", root)


def _reduce(top: int, name: str, moved: Iterator[str]) -> bool:
    """Remove an entry of a directory, or move its contents to the top; return whether anything changed."""
    if _remove(top, name):
        return True
    changed = False
    try:
        _open_up(top, name)
        folder = os.open(name, _FOLDER, dir_fd=top)
    except OSError:
        return False
    try:
        for below in os.listdir(folder):  # noqa: PTH208 -- a descriptor
            changed |= _remove(folder, below) or _move(folder, below, top, next(moved))
    finally:
        os.close(folder)
    return _remove(top, name) or changed


def _remove(folder: int, name: str) -> bool:
    """Remove a file or an empty directory; return whether it is gone."""
    for remove in (os.unlink, os.rmdir):
        try:
            remove(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError:
            continue
        return True
    return False


def _move(folder: int, name: str, top: int, new: str) -> bool:
    try:
        _open_up(folder, name)
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
    except OSError:
        return False
    return True


def _open_up(folder: int, name: str) -> None:
    """Give ourselves access to a directory that was made without permissions."""
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and stat.S_IMODE(mode) & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=folder)
