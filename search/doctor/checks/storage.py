"""Checks directories: can they be written and locked, and have they enough space, in the places that a search uses?"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from search.doctor.checks.row import Row, broken, fine, gigabytes, warning
from search.doctor.checks.subject import Subject
from search.errors import UserError
from target.corpus.cache import cache_root
from target.errors import TargetError

_LEAST_BYTES: Final = 100_000_000  # with less, a search stops within minutes
_OUTPUT_BYTES: Final = 1_000_000_000  # programs, logs and pages of some hundred trials, and MLflow's copies of them
_MOUNTS: Final = Path("/proc/self/mounts")
# On these, locks may not reach other machines, or may not exist. Optuna #5138 and #5971 are about journals on NFS.
_NETWORK: Final = ("9p", "beegfs", "ceph", "cifs", "fuse", "glusterfs", "lustre", "nfs", "nfs4", "smb3")


class LocksNothingError(Exception):
    """A lock could be taken twice, or cannot be taken at all."""


def check_cache(_: Subject) -> Iterator[Row]:
    """Check the directory of corpora and downloads."""
    root = cache_root()
    remedy = "export GRAFT_CACHE=DIR, a directory that you can write to"
    try:
        with _folder_in(root) as folder:
            _try_flock(folder / "lock")
    except OSError as error:
        yield broken("cache", _said(root, error), cost="no corpus can be prepared", remedy=remedy)
    except LocksNothingError as error:
        cost = "searches that start together would interfere with each other's preparation of the corpus"
        yield broken("cache", f"{root}: {error}", cost=cost, remedy="export GRAFT_CACHE=DIR, on a local disk")
    else:
        yield _room("cache", root, _LEAST_BYTES, "a corpus", remedy="make room, or export GRAFT_CACHE=DIR elsewhere")


def check_temporary(subject: Subject) -> Iterator[Row]:
    """Check the directory in which trainings write; each may take `disk_bytes`."""
    try:
        with tempfile.TemporaryDirectory(prefix="graft-doctor-") as folder:
            root = Path(folder).parent
            _try_flock(Path(folder, "lock"))
    except OSError as error:
        found = f"no usable directory for temporary files ({error.strerror or error})"
        yield broken("TMPDIR", found, cost="no training can begin", remedy="export TMPDIR=DIR")
        return
    except LocksNothingError as error:
        cost = "files left by a killed search cannot be distinguished from files in use"
        yield broken("TMPDIR", str(error), cost=cost, remedy="export TMPDIR=DIR, on a local disk")
        return
    if subject.device == "cuda" and os.statvfs(root).f_flag & os.ST_NOEXEC:
        cost = "torch.compile cannot load what it compiles there"
        yield broken("TMPDIR", f"{root} is mounted noexec", cost=cost, remedy="export TMPDIR=DIR, on another disk")
        return
    slots = _slots(subject)
    needed = subject.spec.disk_bytes * slots if subject.spec else 0
    what = f"{slots} x target.disk_bytes"
    yield _room("TMPDIR", root, needed, what, remedy="make room, or export TMPDIR=DIR elsewhere")


def check_outputs(subject: Subject) -> Iterator[Row]:
    """Check the directory of searches: the ledger, its locks, and the space."""
    root = subject.outputs.absolute()
    remedy = "outputs=DIR, a directory that you can write to"
    elsewhere = "outputs=DIR, on a local disk"
    try:
        with _folder_in(root) as folder:
            _try_flock(folder / "lock")
            _try_symlink(folder / "journal.log.lock")
            _try_journal(folder / "journal.log")
    except OSError as error:
        yield broken("outputs", _said(root, error), cost="a search cannot keep its ledger", remedy=remedy)
        return
    except LocksNothingError as error:
        cost = "two searches could write one ledger"
        yield broken("outputs", f"{root}: {error}", cost=cost, remedy=elsewhere)
        return
    kind = file_system(root)
    if kind.partition(".")[0] in _NETWORK:
        cost = "its locks work on this machine, but may not stop another machine from starting a search there"
        yield warning("outputs", f"{root} is on a network or FUSE file system ({kind})", cost=cost, remedy=elsewhere)
        return
    yield _room("outputs", root, _OUTPUT_BYTES, "a search", remedy="make room, or outputs=DIR elsewhere")


def _slots(subject: Subject) -> int:
    try:
        return subject.slots
    except (TargetError, UserError):  # the checks of GPUs and workers have reported it
        return 1


def _room(name: str, root: Path, needed: int, what: str, *, remedy: str) -> Row:
    free = shutil.disk_usage(_nearest(root)).free
    found = f"{root}, {gigabytes(free)} free"
    if free < _LEAST_BYTES:
        return broken(name, found, cost="a search would stop at once because of lack of space", remedy=remedy)
    if free < needed:
        cost = f"{what} may take {gigabytes(needed)}; a search stops, and can be resumed, when the disk is full"
        return warning(name, found, cost=cost, remedy=remedy)
    return fine(name, found)


@contextmanager
def _folder_in(root: Path) -> Iterator[Path]:
    """Make a temporary directory in a place that exists or would be made; everything is removed again."""
    nearest = _nearest(root)
    with tempfile.TemporaryDirectory(prefix=".graft-doctor-", dir=nearest) as folder:
        yield Path(folder)


def _nearest(path: Path) -> Path:
    """Return a path, or its nearest parent that exists."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def _try_flock(path: Path) -> None:
    with path.open("w") as first, path.open("w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocksNothingError(f"its file system has no locks ({error.strerror})") from error
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise LocksNothingError("flock locks nothing there")


def _try_symlink(path: Path) -> None:
    """Take Optuna's lock of a journal twice: a link that only one process can make."""
    try:
        path.symlink_to("journal.log")
    except OSError as error:
        raise LocksNothingError(f"its file system has no symbolic links, needed to lock ({error.strerror})") from error
    try:
        path.symlink_to("journal.log")
    except FileExistsError:
        path.unlink()
        return
    raise LocksNothingError("a link that exists can be made again")


def _try_journal(path: Path) -> None:
    from optuna.study import StudyDirection

    from search.runs.journal import open_journal

    storage = open_journal(path)
    study = storage.create_new_study([StudyDirection.MINIMIZE], "doctor")
    storage.create_new_trial(study)
    storage.remove_session()


def file_system(path: Path, table: Path = _MOUNTS) -> str:
    """Return the type of the file system of a path, such as `ext4`; empty if it is unknown."""
    place = os.path.realpath(_nearest(path))
    try:
        mounts = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    above = [
        (len(where), kind)
        for _, where, kind, *_ in mounts
        if place == where or place.startswith(where.rstrip("/") + "/")
    ]
    return max(above, default=(0, ""), key=lambda each: each[0])[1]


def _said(root: Path, error: OSError) -> str:
    return f"{root} cannot be written ({error.strerror or error})"
