"""Reads a git repository. Nothing in it is changed, and no program that it names is run (`target/command/git.py`)."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from search.errors import UserError
from target.command.git import CleanRepository, GitError, open_clean

_FILES: Final = 64  # that are cached: a row and its parent need the same ones


class Repository:
    """A repository and its working tree.

    Args:
        clean: The repository, without its own configuration.

    Attributes:
        root: Top of the working tree.
    """

    def __init__(self, clean: CleanRepository) -> None:
        self._clean = clean
        self.root = clean.root
        self.file = functools.lru_cache(_FILES)(self._file)
        self._messages: Callable[[str], list[tuple[str, str]]] = functools.cache(self._read_messages)
        self.parent: Callable[[str], str | None] = functools.cache(self._parent)

    def head_branch(self) -> str | None:
        """Return the branch that is checked out; None if none is."""
        return self._ask("symbolic-ref", "--quiet", "--short", "HEAD")

    def commit(self, name: str) -> str | None:
        """Return the full hash of a commit that is in the object database, reachable or not; None if it is not."""
        return self._clean.find(f"{name}^{{commit}}", "commit")

    def labelled(self, label: str, path: str) -> str | None:
        """Return the only commit of any branch that changes a file and whose message begins with a label; else None."""
        begins = re.compile(rf"\W*{re.escape(label)}(?!\w|[-.]\w)", re.IGNORECASE)
        found = [commit for commit, message in self._messages(path) if begins.match(message)]
        return found[0] if len(found) == 1 else None

    def branch(self, name: str) -> str | None:
        """Return the commit of a branch, local or of a remote; None if there is no such branch."""
        places = (f"refs/heads/{name}", f"refs/remotes/{name}", f"refs/remotes/origin/{name}")
        return next(filter(None, map(self.commit, places)), None)

    def branches(self) -> list[str]:
        """Return the names of the local branches."""
        return (self._ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads") or "").splitlines()

    def content(self, commit: str, path: str) -> bytes | None:
        """Return the bytes of a file in a commit; None if the commit does not have it."""
        return self._clean.content(f"{commit}:{path}", "blob")

    def _read_messages(self, path: str) -> list[tuple[str, str]]:
        lines = (self._ask("log", "--all", "--format=%H %s", "--", path) or "").splitlines()
        return [(commit, message) for commit, _, message in (line.partition(" ") for line in lines)]

    def _file(self, commit: str, path: str) -> str | None:
        """Return the text of a file in a commit; None if the commit does not have it, or it is not text."""
        content = self.content(commit, path)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError:
            return None

    def _parent(self, commit: str) -> str | None:
        """Return a commit's first parent; None if it has none, or if a shallow clone does not contain it."""
        head, _, _ = (self._clean.content(commit, "commit") or b"").partition(b"\n\n")
        lines = head.decode(errors="replace").splitlines()
        parent = next((line.removeprefix("parent ") for line in lines if line.startswith("parent ")), None)
        return parent and self.commit(parent)

    def ancestors(self, commit: str) -> Iterator[str]:
        """Yield a commit's first parent, that one's, and so on."""
        while (parent := self.parent(commit)) is not None:
            yield parent
            commit = parent

    def last_with(self, commit: str, path: str) -> str | None:
        """Return the newest ancestor, the commit included, that has a file at a path."""
        for changed in (self._ask("rev-list", commit, "--", path) or "").split():
            for candidate in (changed, f"{changed}^"):  # the file may have been removed there
                if (found := self.commit(candidate)) and self.file(found, path) is not None:
                    return found
        return None

    def _ask(self, *arguments: str) -> str | None:
        """Return what git prints; None if git fails."""
        said = self._clean.ask(*arguments)
        return None if said is None else said.decode(errors="surrogateescape").strip()


@contextlib.contextmanager
def open_repository(path: Path) -> Iterator[Repository]:
    """Open the repository that a path is in.

    Raises:
        UserError: The path is in no repository, git is not installed, or it takes too long.
    """
    if not path.is_dir():
        raise UserError(f"{path} must be the directory of a git repository, and there is none")
    opened = False
    try:
        with open_clean(path) as clean:
            opened = True
            yield Repository(clean)
    except GitError as error:
        if opened:
            raise UserError(f"{path}: {error}") from error
        raise UserError(f"{path} must be in a git repository with a working tree; git says: {error}") from error
