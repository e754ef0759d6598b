"""Finds copies of the held-out text among the files that candidates may read, by content and not by name.

It finds files with the same bytes, their compiled bytecode, and zip archives (wheels and eggs too) that contain one.
It does not find changed files, other releases of the same package, or other archives.

A directory is searched once: the result is kept in the cache until the directory changes.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from target.corpus.cache import cache_root, exclusive
from target.corpus.documents import held_out_files
from target.errors import TargetError, machine_errors
from target.spec import Corpus

MAX_COPIES: Final = 64  # each is a hole in a grant, and the list of them travels with every job
_MIN_BYTES: Final = 256  # a shorter file has no text worth hiding, and equals many innocent files
_HEADER: Final = struct.Struct("<4sI4s4s")  # of a .pyc: magic, flags, time and size of the source, or its hash
_ZIPS: Final = (".egg", ".whl", ".zip")
_LEAST_LINE: Final = 20  # characters of a line that identifies its file

_Folder = tuple[int, list[str], list[str]]  # time of its last change, the directories and the copies in it
_Known = dict[str, _Folder]  # by path


def find_copies(corpus: Corpus, places: Iterable[Path], apart: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Return the files in the given places that contain held-out text of the corpus.

    Args:
        corpus: The corpus; one that is not made of installed packages has no copies.
        places: Real paths of files and directories; links in them are not followed.
        apart: Directories that are not searched, because they are withheld as a whole.

    Raises:
        TargetError: There are too many copies, or the cache cannot be written.
    """
    text = _Text(held_out_files(corpus))
    if not text.sizes:
        return ()
    file = cache_root() / f"copies-{text.digest}.json"
    with machine_errors(f"cannot write the cache {file}"), exclusive(file.with_suffix(".lock")):
        before = _load(file)
        after: _Known = {}
        closed = frozenset(map(str, apart))
        found = [path for place in places for path in _search(str(place), text, before, after, closed)]
        if after != before:
            part = file.with_suffix(".part")
            part.write_text(json.dumps(after))
            part.replace(file)
    if len(found) > MAX_COPIES:
        raise TargetError(
            f"validation text of corpus={corpus.name} must not lie where candidates can read it, but {len(found)} "
            f"copies do, such as {found[0]}; remove them, or the package from target.packages"
        )
    return tuple(map(Path, dict.fromkeys(found)))


class _Text:
    """The text to look for.

    Args:
        files: The held-out files.

    Attributes:
        sizes: Their sizes, for a first look.
        digest: One hash of all of them.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        contents = [content for path in files if len(content := path.read_bytes()) >= _MIN_BYTES]
        self.sizes = frozenset(map(len, contents))
        self._hashes = frozenset(hashlib.sha256(content).digest() for content in contents)
        self._checksums = frozenset((len(content), zlib.crc32(content)) for content in contents)
        self._by_size: dict[bytes, list[bytes]] = {}
        for content in contents:
            for key in (struct.pack("<I", len(content)), importlib.util.source_hash(content)):
                self._by_size.setdefault(key, []).append(content)
        self.digest = hashlib.sha256(b"".join(sorted(self._hashes))).hexdigest()[:16]

    def is_in(self, path: str, size: int) -> bool:
        """Return whether a file has held-out text; a file that we cannot read, a candidate cannot read either."""
        with suppress(OSError):
            if size in self.sizes and hashlib.sha256(Path(path).read_bytes()).digest() in self._hashes:
                return True
            if path.endswith(".pyc"):
                return self._is_compiled(Path(path))
            if path.endswith(_ZIPS):
                return self._is_zipped(path)
        return False

    def _is_compiled(self, path: Path) -> bool:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return False
            _, flags, first, second = _HEADER.unpack(header)
            sources = self._by_size.get(first + second if flags else second)
            if not sources:
                return False
            code = file.read()
        return any(_share(source, code) > 0.5 for source in sources)

    def _is_zipped(self, path: str) -> bool:
        with suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(path) as archive:
            return any((entry.file_size, entry.CRC) in self._checksums for entry in archive.infolist())
        return False


def _share(source: bytes, code: bytes) -> float:
    """Return the share of long lines in a source's strings and docstrings that are in compiled code."""
    lines = _lines(source)
    return sum(line in code for line in lines) / len(lines) if lines else 0.0


@functools.lru_cache(maxsize=64)
def _lines(source: bytes) -> frozenset[bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    strings = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    lines = (line.strip() for string in strings for line in string.splitlines())
    return frozenset(line.encode() for line in lines if line.isascii() and len(line) >= _LEAST_LINE)


def _load(file: Path) -> _Known:
    try:
        return {path: (at, inside, copies) for path, (at, inside, copies) in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _search(place: str, text: _Text, before: _Known, after: _Known, closed: frozenset[str]) -> Iterator[str]:
    """Yield the copies at or below a place; directories that have not changed are not read again."""
    try:
        status = Path(place).stat()
    except OSError:
        return
    if not stat.S_ISDIR(status.st_mode):
        if text.is_in(place, status.st_size):
            yield place
        return
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        if folder in closed:
            continue
        if folder not in after:
            with suppress(OSError):
                after[folder] = _look_through(folder, text, before.get(folder))
        _, inside, copies = after.get(folder, (0, [], []))
        yield from copies
        waiting += inside


def _look_through(folder: str, text: _Text, known: _Folder | None) -> _Folder:
    changed = Path(folder).stat().st_mtime_ns
    if known and known[0] == changed:
        return known
    inside, copies = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(entry.path)
            elif entry.is_file(follow_symlinks=False) and text.is_in(entry.path, entry.stat().st_size):
                copies.append(entry.path)
    return changed, inside, copies
