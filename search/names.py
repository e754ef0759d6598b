"""Names of searches: which are valid, and their folders."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Final

from search.errors import UserError
from search.runs.rundir import RunDirectory, searches_below

_PART: Final = re.compile(r"\w[\w.,=+@~-]*")
_FOREIGN: Final = re.compile(r"[^\w.,=+@-]+")
_PART_BYTES: Final = 120
_NAME_BYTES: Final = 240  # MLflow's folder name is the whole name and a suffix; file systems allow 255
OUTPUTS: Final = Path("outputs")
_SHOWN: Final = 3  # searches in the advice for a name that does not exist
_TAKEN: Final = ("mlartifacts", "mlflow.db")


def check_name(name: str) -> None:
    """Refuse a name that is not the path of a folder below `outputs`, or that some shell or file system refuses.

    Raises:
        UserError: The name is not valid; the message suggests a valid one.
    """
    parts = name.split("/")
    if any(not _PART.fullmatch(part) or _bytes(part) > _PART_BYTES for part in parts) or _bytes(name) > _NAME_BYTES:
        raise UserError(
            "name must be the path of a folder below outputs: letters, digits and . , = + @ _ -, in each part a "
            f"letter, digit or _ first and {_PART_BYTES} bytes at most, {_NAME_BYTES} in all; "
            f"got {_shortened(name)!r}, try name={_suggestion(parts)}"
        )
    if parts[0].startswith(_TAKEN) or name == "sweeps":
        raise UserError(f"name must not be {name}: outputs/{parts[0]} is kept for other files; try name=my_{parts[0]}")


def folder_of(outputs: str | Path, name: str) -> RunDirectory:
    """Return the folder of a search, which need not exist yet.

    Args:
        outputs: Folder of all searches.
        name: Name of the search.

    Raises:
        UserError: The name is invalid, or leads into another search or through a link.
    """
    check_name(name)
    if not str(outputs):
        raise UserError("outputs must be a folder, such as outputs=outputs, got ''")
    place = Path(outputs).expanduser()
    for part in name.split("/"):
        if RunDirectory(place).journal.exists():
            raise UserError(f"{place} is a search itself: a name must not lead into it, got {name!r}")
        place /= part
        if place.is_symlink():
            raise UserError(f"{place} is a symbolic link: name must not lead out of outputs, give outputs=DIR instead")
    return RunDirectory(place)


def given_folder(text: str) -> Path:
    """Return a folder with searches that a command line names; a `type` for argparse.

    Raises:
        UserError: There is no such folder.
    """
    path = Path(text).expanduser()
    if text and _is_folder(path):
        return path
    below = OUTPUTS / text
    hint = f"did you mean {below}?" if text and _is_folder(below) else what_there_is(text)
    raise UserError(f"{_shortened(text)!r} holds no search: there is no such folder; {hint}")


def what_there_is(text: str, outputs: Path = OUTPUTS) -> str:
    """Return which searches there are, if a name does not exist: those with the most similar names, or the latest.

    Args:
        text: What was given.
        outputs: Folder of all searches.
    """
    known = {path.relative_to(outputs).as_posix(): path for path in searches_below(outputs)}
    if not known:
        return f"there is no search in {outputs.absolute()} yet: `python -m search` starts one"
    words = (text.removeprefix(f"{outputs}/"), Path(text).name)
    near = next(filter(None, (difflib.get_close_matches(word, known, n=_SHOWN) for word in words)), [])
    if near:
        return f"did you mean {' or '.join(str(known[name]) for name in near)}?"
    latest = sorted(known.values(), key=lambda path: RunDirectory(path).journal.stat().st_mtime)[: -_SHOWN - 1 : -1]
    return f"there is {', '.join(map(str, latest))}{', ...' * (len(known) > _SHOWN)}"


def given_search(text: str) -> Path:
    """Return the folder of one search that a command line names; a `type` for argparse.

    Raises:
        UserError: There is no such folder, or it holds searches and is none itself.
    """
    folder = given_folder(text)
    below = searches_below(folder)
    if below and folder not in below:
        raise UserError(f"{_shortened(text)!r} holds searches and is none itself: give one of them, such as {below[0]}")
    return folder


def find_search(text: str) -> RunDirectory:
    """Return the folder of a search that a command line names: by its name in `outputs`, or by its path.

    Raises:
        UserError: There is no such search.
    """
    below = RunDirectory(OUTPUTS / text)
    run = below if below.journal.exists() else RunDirectory(given_search(text))
    if not run.journal.exists():
        raise UserError(f"{run.root} holds no search; {what_there_is(text)}")
    return run


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its name is too long for the file system
        return False


def _suggestion(parts: list[str]) -> str:
    """Return a valid name similar to the refused one."""
    better = (_FOREIGN.sub("_", part).lstrip("_.,=+@-").rstrip("_") for part in parts)
    kept = [os.fsencode(part)[:40].decode(errors="ignore") for part in better if part]
    return "/".join(kept[:2]) or "mar8"


def _shortened(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}..."


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogateescape"))
