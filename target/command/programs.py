"""The programs that a command names: where they are, and what they need to run in the sandbox."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from target.command.spec import CommandSpec
from target.errors import TargetError

_ENVIRONMENT: Final = ".venv"  # of the directory, without being named
_MARK: Final = "pyvenv.cfg"  # of a virtual environment


def find_command(spec: CommandSpec) -> Path:
    """Return the program that the command begins with.

    Raises:
        TargetError: There is none.
    """
    name = spec.words[0]
    found = shutil.which(spec.root / name if "/" in name else name, path=search_path(spec))
    if found is None:
        raise TargetError(
            f"target.command must begin with a program that can be found, got {name!r}; looked in "
            f"{spec.root if '/' in name else search_path(spec)}; another command is given like "
            "target.command='python train.py'"
        )
    return Path(found)


def search_path(spec: CommandSpec) -> str:
    """Return PATH of the command: its own virtual environment first, then the Python that runs this process."""
    places = [str(spec.root / _ENVIRONMENT / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return os.pathsep.join(filter(None, places))


def words_in_copy(spec: CommandSpec, copy: Path) -> tuple[str, ...]:
    """Return the words of the command. A program that is not in the copy, as in `venv/bin/python`, has its full path.

    Args:
        spec: The target.
        copy: The copy of its directory in which the command runs.
    """
    return tuple(
        str(path) if "/" in word and not (copy / word).exists() and _is_program(path := spec.root / word) else word
        for word in spec.words
    )


def runnable(spec: CommandSpec) -> list[Path]:
    """Return what the command may read and execute: each program that it names, with its installation.

    A program of a virtual environment needs the environment and the Python that it was made with. Environments of the
    directory that are linked may be used too: a script of its own may activate them.
    """
    named = [spec.root / word for part in spec.words for word in part.split() if "/" in word]  # also in sh -c '...'
    pythons = [spec.root / name / "bin" / "python" for name in (_ENVIRONMENT, *spec.links)]
    programs = [find_command(spec), *pythons, *filter(_is_program, named)]
    places = [place for program in programs if program.exists() for place in _installations(program)]
    return [*dict.fromkeys(places)]


def _installations(program: Path) -> Iterator[Path]:
    yield from (program, program.resolve())
    environment = program.parent.parent
    if (environment / _MARK).is_file():
        yield environment.resolve()
        program = environment / "bin" / "python"
    installation = program.resolve().parent.parent
    if (installation / "lib").is_dir() and installation not in (Path("/"), Path.home(), *Path.home().parents):
        yield installation
        if installation.parent.name == "python":  # uv keeps links to an installation beside it
            yield installation.parent


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
