"""Questions to a git repository; nothing is ever changed in it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from search.errors import UserError

_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and its working tree.

    Attributes:
        root: Top of the working tree.
    """

    root: Path

    def head_branch(self) -> str | None:
        """Return the branch that is checked out; None if none is."""
        return self._ask("symbolic-ref", "--quiet", "--short", "HEAD")

    def commit(self, name: str) -> str | None:
        """Return the full hash of a commit that is in the object database, reachable or not; None if it is not."""
        return self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def branch(self, name: str) -> str | None:
        """Return the commit of a branch, local or of a remote; None if there is no such branch."""
        places = (f"refs/heads/{name}", f"refs/remotes/{name}", f"refs/remotes/origin/{name}")
        return next(filter(None, map(self.commit, places)), None)

    def branches(self) -> list[str]:
        """Return the names of the local branches."""
        return (self._ask("for-each-ref", "--format=%(refname:short)", "refs/heads") or "").splitlines()

    def file(self, commit: str, path: str) -> str | None:
        """Return a file as a commit has it; None if it has none, or not as text."""
        return self._ask("show", f"{commit}:{path}", strip=False)

    def ancestors(self, commit: str) -> list[str]:
        """Return a commit's first parent, that one's, and so on."""
        return (self._ask("rev-list", "--first-parent", commit) or "").split()[1:]

    def last_with(self, commit: str, path: str) -> str | None:
        """Return the newest ancestor, the commit included, that has a file at a path."""
        for changed in (self._ask("rev-list", commit, "--", path) or "").split():
            for candidate in (changed, f"{changed}^"):  # the file may have been removed there
                if (found := self.commit(candidate)) and self.file(found, path) is not None:
                    return found
        return None

    def is_tracked(self, commit: str, path: str) -> bool:
        """Return whether a commit has a file at a path."""
        return self._ask("cat-file", "-e", f"{commit}:{path}") is not None

    def _ask(self, *arguments: str, strip: bool = True) -> str | None:
        """Return what git prints; None if it says no, or prints something else than text."""
        done = _git(self.root, *arguments)
        if done.returncode:
            return None
        try:
            text = done.stdout.decode()
        except UnicodeDecodeError:
            return None
        return text.strip() if strip else text


def open_repository(path: Path) -> Repository:
    """Return the repository that a path is in.

    Raises:
        UserError: It is in none, or git is not there.
    """
    if not path.is_dir():
        raise UserError(f"{path} must be the directory of a git repository, and there is none")
    done = _git(path, "rev-parse", "--show-toplevel")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise UserError(f"{path} must be in a git repository with a working tree; git says: {said}")
    return Repository(Path(done.stdout.decode(errors="surrogateescape").rstrip("\n")))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # asking shall write nothing, not even the index
        )
    except FileNotFoundError:
        raise UserError("the program git is required, and is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {arguments[0]} took more than {_SECONDS:.0f} seconds in {root}") from None
