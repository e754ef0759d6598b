"""Asks git about a directory whose configuration is not trusted, and must not start any program.

A repository's `.git/config` can name programs: filters, diffs, pagers, hooks, file system monitors, transports. A
missing object is enough to make git fetch it from a "promisor" remote, by a command that the configuration names. So
objects, branches and the index are read through our own git directory, which has an empty configuration. The repository
itself is asked only for its paths and branches. Even that must not fetch: `GIT_NO_LAZY_FETCH` prevents it in git 2.45
and newer, and an empty list of allowed protocols in every version.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

SECONDS: Final = 60.0
OBJECT_BYTES: Final = 16 << 20
"""Larger files of a commit are not read."""

_INDEX_BYTES: Final = 256 << 20
_CHUNK_BYTES: Final = 1 << 16


class GitError(Exception):
    """Git is missing, takes too long, or reports that a directory is in no repository with a working tree."""


class CleanRepository:
    """A repository, read through a git directory with our own configuration. `open_clean` makes one.

    Attributes:
        root: Top of the working tree.
    """

    def __init__(self, root: Path, place: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self._place = place
        self._environment = environment
        self._readers: dict[str, _Reader] = {}

    def ask(self, *arguments: str) -> bytes | None:
        """Return git's output; None if it fails.

        Raises:
            GitError: It took too long.
        """
        done = run_git(self._place, arguments, self._environment)
        return None if done.returncode else done.stdout

    def find(self, name: str, kind: str) -> str | None:
        """Return the hash of an object; None if there is none of that kind, or if it is larger than `OBJECT_BYTES`.

        Args:
            name: As in gitrevisions(7), such as `1234abc^{commit}` or `1234abc:train.py`.
            kind: `commit` or `blob`.

        Raises:
            GitError: Git died, or took too long.
        """
        if "\n" in name:  # a request is one line
            return None
        words = self._reader("--batch-check").ask(name)
        found = len(words) == 3 and words[1] == kind and int(words[2]) <= OBJECT_BYTES
        return words[0] if found else None

    def content(self, name: str, kind: str) -> bytes | None:
        """Return the contents of an object; None as in `find`.

        Raises:
            GitError: As in `find`.
        """
        found = self.find(name, kind)
        if found is None:
            return None
        reader = self._reader("--batch")
        words = reader.ask(found)
        return reader.read(int(words[2]) + 1)[:-1] if len(words) == 3 else None

    def close(self) -> None:
        """End the processes that read objects."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, option: str) -> _Reader:
        if option not in self._readers:
            self._readers[option] = _Reader(self._place, option, self._environment)
        return self._readers[option]


class _Reader:
    """A `git cat-file` that answers one question per line: one process per question would take minutes."""

    def __init__(self, place: Path, option: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["git", "cat-file", option],
            cwd=place,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._buffer = bytearray()

    def ask(self, name: str) -> list[str]:
        """Return the words of git's answer: hash, kind and size of an object, or other words if it does not exist."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(os.fsencode(f"{name}\n"))
        except BrokenPipeError:
            raise GitError("git cat-file died") from None
        deadline = time.monotonic() + SECONDS
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill(deadline)
        words = self._take(end + 1).decode(errors="replace").split()
        return words if words and words[-1].isdecimal() else []

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes."""
        deadline = time.monotonic() + SECONDS
        while len(self._buffer) < size_bytes:
            self._fill(deadline)
        return self._take(size_bytes)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _take(self, size_bytes: int) -> bytes:
        taken = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return taken

    def _fill(self, deadline: float) -> None:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise GitError(f"git cat-file took more than {SECONDS:.0f} seconds for one object")
        chunk = os.read(self._process.stdout.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise GitError("git cat-file died; the repository may be damaged: check it with git fsck")
        self._buffer += chunk


@contextlib.contextmanager
def open_clean(place: Path) -> Iterator[CleanRepository]:
    """Open the repository that contains a directory.

    Args:
        place: The directory; relative names refer to it.

    Raises:
        GitError: It is in no repository, or git is missing.
        OSError: A file of the repository cannot be read, or no temporary directory can be made.
    """
    environment = git_environment()

    def ask(*arguments: str) -> str:
        done = run_git(place, arguments, environment)
        return "" if done.returncode else os.fsdecode(done.stdout).rstrip("\n")

    where = run_git(
        place, ("rev-parse", "--show-toplevel", "--git-path", "objects", "--git-path", "index"), environment
    )
    lines = os.fsdecode(where.stdout).splitlines()
    if where.returncode or len(lines) != 3:
        raise GitError(where.stderr.decode(errors="replace").strip() or f"unexpected paths: {lines}")
    root, objects, index = (place / line for line in lines)
    with tempfile.TemporaryDirectory(prefix="graft-git-") as folder:
        clean = Path(folder)
        _write_directory(
            clean,
            head=(ask("symbolic-ref", "--quiet", "HEAD"), ask("rev-parse", "--verify", "--quiet", "HEAD")),
            references=ask("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes"),
            sha256=ask("rev-parse", "--show-object-format") == "sha256",  # git 2.25 does not know the option
        )
        _copy_files(index, clean)
        repository = CleanRepository(
            root,
            place,
            {
                **environment,
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_DIR": str(clean),
                "GIT_INDEX_FILE": str(clean / "index"),
                "GIT_OBJECT_DIRECTORY": str(objects.absolute()),
                "GIT_WORK_TREE": str(root),
            },
        )
        with contextlib.closing(repository):
            yield repository


def _write_directory(clean: Path, *, head: tuple[str, str], references: str, sha256: bool) -> None:
    (clean / "refs").mkdir()
    (clean / "objects").mkdir()  # git requires this folder, but reads other ones
    branch, commit = head
    (clean / "HEAD").write_bytes(os.fsencode(f"ref: {branch}\n" if branch else f"{commit}\n"))
    lines = sorted(references.splitlines(), key=lambda line: line.partition(" ")[2])
    packed = "".join(f"{line}\n" for line in ("# pack-refs with: sorted ", *lines))
    (clean / "packed-refs").write_bytes(os.fsencode(packed))
    form = "\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
    (clean / "config").write_text("[core]\n" + (form if sha256 else "\trepositoryformatversion = 0\n"))


def _copy_files(index: Path, clean: Path) -> None:
    """Copy the index, including the parts of a split index, and the list of a shallow clone's boundaries."""
    shallow = index.parent.parent.parent if index.parent.parent.name == "worktrees" else index.parent
    for source in (index, *index.parent.glob("sharedindex.*"), shallow / "shallow"):
        with contextlib.suppress(FileNotFoundError):
            status = source.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= _INDEX_BYTES:
                shutil.copyfile(source, clean / source.name, follow_symlinks=False)


def git_environment() -> dict[str, str]:
    """Return our environment without variables that redirect git, and with those that stop fetching and prompts."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **ours,
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",  # reading must not write anything, not even the index
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
    }


def run_git(
    place: Path, arguments: tuple[str, ...], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a directory.

    Args:
        place: The directory.
        arguments: Of git.
        environment: All its variables, from `git_environment` and perhaps more.

    Raises:
        GitError: It is missing, or takes more than `SECONDS`.
    """
    try:
        return subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise GitError("the program git is required, and is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took more than {SECONDS:.0f} seconds in {place}") from None
