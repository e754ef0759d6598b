"""Copies an external directory once when a search starts, and again for each command; the original is only read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from target.command.git import GitError, open_clean
from target.command.spec import CommandSpec
from target.errors import TargetError, machine_errors
from target.evaluation import Outcome
from target.feedback import CandidateFailure
from target.launch.workspace import read_inside
from target.process.trees import copy_tree, files_below, remove_tree

COPY_BYTES: Final = 256 << 20
COPY_FILES: Final = 4_000
_SOURCE_BYTES: Final = 1_000_000  # a larger file is no source
_LEFT_OUT: Final = {"__pycache__", "node_modules"}  # without git; dotted names are left out too


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a checkout.

    Attributes:
        root: Where it is.
        hash: Hash of names and contents, without the file that programs replace.
        commit: Commit of the checkout; None without git.
    """

    root: Path
    hash: str
    commit: str | None


def copy_checkout(spec: CommandSpec, destination: Path) -> Snapshot:
    """Copy the files of a checkout that a command needs: the tracked files as they are now, or all files without git.

    Raises:
        TargetError: It cannot be read, or is too large.
    """
    with machine_errors(f"cannot copy {spec.root}"), _repository(spec.root) as ask:
        names = _names(spec, ask("ls-files", "-z"))
        commit = ask("rev-parse", "--verify", "--quiet", "HEAD")
        digest = hashlib.sha256()
        for name in names:
            source, copy = spec.root / name, destination / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
            if name != spec.file:
                digest.update(name.encode(errors="surrogateescape") + b"\0")
                content = str(source.readlink()).encode() if source.is_symlink() else source.read_bytes()
                digest.update(hashlib.sha256(content).digest())
    return Snapshot(destination, digest.hexdigest()[:16], commit)


def describe_checkout(spec: CommandSpec) -> Snapshot:
    """Return what `copy_checkout` would return, without keeping the copy.

    Raises:
        TargetError: As in `copy_checkout`.
    """
    folder = Path(tempfile.mkdtemp(prefix="graft-checkout-"))
    try:
        return copy_checkout(spec, folder / "checkout")
    finally:
        remove_tree(folder)


def is_named(spec: CommandSpec, file: str) -> bool:
    """Return whether the command, the program, or a file that is copied for them has the name of a file in its text.

    Raises:
        TargetError: As in `copy_checkout`.
    """
    name = Path(file).name.encode()
    with machine_errors(f"cannot read {spec.root}"), _repository(spec.root) as ask:
        paths = [spec.root / each for each in _names(spec, ask("ls-files", "-z"))]
        texts = (path.read_bytes() for path in paths if path.is_file() and path.stat().st_size <= _SOURCE_BYTES)
        own = spec.program.read_bytes() if spec.program else b""
        return name in spec.command.encode() or name in own or any(name in text for text in texts)


class CommandSpace:
    """The directory of one command; leaving the `with` block removes it.

    home/ tmp/   private HOME and TMPDIR
    out/         a copy of the checkout with the program in it, where the command starts

    Args:
        parent: Where it is made.
        snapshot: The copy of the checkout.
        spec: The target.
        source: The program.

    Attributes:
        work: The copy in which the command starts.
    """

    def __init__(self, parent: Path, snapshot: Path, spec: CommandSpec, source: str) -> None:
        self._spec = spec
        self.root = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self.work = self.root / "out"
        for name in ("home", "tmp"):
            (self.root / name).mkdir()
        copy_tree(snapshot, self.work)
        program = self.work / spec.file
        program.unlink(missing_ok=True)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_bytes(source.encode())
        if (snapshot / spec.file).exists():
            shutil.copymode(snapshot / spec.file, program)
        _link(spec.links, spec.root, self.work)
        _link(spec.home, spec.user_home, self.root / "home")
        self._fixed = {name: (snapshot / name).read_bytes() for name in spec.fixed}
        self._work_fd = os.open(self.work, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._work_fd)
        remove_tree(self.root)

    def refuse_changes(self) -> None:
        """Compare the fixed files with the originals; call it after the command has ended.

        Raises:
            CandidateFailure: One was changed.
        """
        for name, content in self._fixed.items():
            if read_inside(self._work_fd, name, limit_bytes=len(content)) != content:
                raise CandidateFailure(
                    Outcome.REJECTED, f"{name} is fixed, but was changed during the run; do not change it"
                )

    def read(self, name: str, *, limit_bytes: int) -> bytes | None:
        """Return the first bytes of a file that the command left, one more than the limit if it is longer."""
        return read_inside(self._work_fd, name, limit_bytes=limit_bytes)


def _names(spec: CommandSpec, tracked: str | None) -> list[str]:
    """Return the files to copy, relative to the root: those in git's list of tracked files, or all."""
    names = sorted({*tracked.strip("\0").split("\0")} if tracked else _walk(spec.root))
    places = (*spec.links, *filter(None, (spec.metric_file,)))
    names = [name for name in names if not any(name == place or name.startswith(f"{place}/") for place in places)]
    sizes = {name: path.lstat().st_size for name in names if (path := spec.root / name).is_file() or path.is_symlink()}
    if sum(sizes.values()) > COPY_BYTES or len(sizes) > COPY_FILES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise TargetError(
            f"{spec.root} must have at most {COPY_FILES} files and {COPY_BYTES >> 20} MiB to copy for each trial, got "
            f"{len(sizes)} and {sum(sizes.values()) >> 20} (the largest is {largest}); name directories with data in "
            "target.links, which are not copied"
        )
    if missing := [name for name in spec.fixed if name not in sizes]:
        raise TargetError(f"target.fixed names files that are not among those copied from {spec.root}: {missing}")
    return list(sizes)


def _walk(root: Path) -> Iterable[str]:
    found = files_below(root, enter=lambda name: not name.startswith(".") and name not in _LEFT_OUT)
    return (path for path, entry in found if not entry.is_dir())


def _link(names: Iterable[str], origin: Path, place: Path) -> None:
    for name in names:
        if (origin / name).exists() and not (place / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to((origin / name).resolve())


@contextlib.contextmanager
def _repository(root: Path) -> Iterator[Callable[..., str | None]]:
    """Give a function that returns git's answers about a directory; None without git, or outside a repository."""
    with contextlib.ExitStack() as stack:
        try:
            repository = stack.enter_context(open_clean(root))
        except GitError:
            yield lambda *_: None
            return

        def ask(*arguments: str) -> str | None:
            try:
                said = repository.ask(*arguments)
            except GitError:
                return None
            return None if said is None else os.fsdecode(said).strip("\n")

        yield ask
