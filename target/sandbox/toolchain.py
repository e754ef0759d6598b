"""The C compiler of this machine and the directories that it needs: Triton compiles a launcher for each kernel.

Most compilers are below /usr, which a candidate may read and execute anyway. Others are in a directory of their own, as
on a machine with an H100, in /opt/gcc.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NAMES: Final = ("cc", "gcc", "clang")  # in the order in which Triton looks for them
_SECONDS: Final = 20.0  # for one question to the compiler


def c_compiler() -> str | None:
    """Return the path of the C compiler: $CC, or the first of cc, gcc and clang on PATH; None if there is none."""
    return shutil.which(os.environ.get("CC") or next(filter(shutil.which, _NAMES), "cc"))


@functools.cache
def compiler_folders() -> frozenset[Path]:
    """Return the real paths of the directories that the C compiler reads and executes from; empty without a compiler.

    They are the compiler's own answers, not the prefix that it is installed in: that may be a home directory.
    """
    compiler = c_compiler()
    if compiler is None:
        return frozenset()
    found = {os.path.dirname(path) for path in (compiler, os.path.realpath(compiler))}  # noqa: PTH120 -- not resolved
    found |= {*_searched(compiler), *_included(compiler)}
    real = {Path(os.path.realpath(path)) for path in found if path.startswith(os.sep)}
    return frozenset(path for path in real - {Path("/")} if path.is_dir())


def _searched(compiler: str) -> Iterator[str]:
    """Yield where it looks for its own programs (cc1, as, ld) and for libraries."""
    for line in _ask(compiler, "-print-search-dirs")[0].splitlines():
        _, _, places = line.partition(": ")
        yield from places.removeprefix("=").split(":")
    for program in ("as", "ld", "cc1", "collect2"):
        named = shutil.which(_ask(compiler, f"-print-prog-name={program}")[0].strip())  # a bare name is on PATH
        if named:
            yield os.path.dirname(os.path.realpath(named))  # noqa: PTH120


def _included(compiler: str) -> Iterator[str]:
    """Yield where it looks for headers: the indented lines that -v prints."""
    for line in _ask(compiler, "-E", "-v", "-x", "c", os.devnull)[1].splitlines():
        if line.startswith(" /"):
            yield line.strip()


def _ask(compiler: str, *arguments: str) -> tuple[str, str]:
    try:
        done = subprocess.run(
            [compiler, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", ""  # the doctor compiles something, and says what does not work
    return done.stdout, done.stderr
