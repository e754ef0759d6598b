"""Text of the user's own, `corpus=files`: the documents of all text files in a folder.

    .txt      one document, or several with `<|endoftext|>` between them, as TinyStories has them
    .jsonl    a document a line: a JSON object with the text under `corpus.column`; C4 and Dolma call it .json.gz
    .parquet  a document a row, in the same column

`.txt` and `.jsonl` may be compressed, `.txt.gz`. A long document is cut at ends of lines, or between words, into parts
that are documents of their own: so a text that is one file has held-out parts too.

A document is held out by a hash of its text, so equal documents are in the same split.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from target.corpus.cache import file_sha256
from target.corpus.documents import beginning_of, order_of, split_of
from target.errors import TargetError, machine_errors
from target.spec import Corpus

NAME: Final = "files"
PART_CHARACTERS: Final = 32_768
_END: Final = "<|endoftext|>"
_CHUNK_CHARACTERS: Final = 1 << 24  # of a file in memory at a time
_ROWS: Final = 1_024  # of a parquet file in memory at a time
_OF_LINES: Final = (".jsonl", ".jsonl.gz", ".json.gz")
_SUFFIXES: Final = (".txt", ".txt.gz", *_OF_LINES, ".parquet")
_TOLD: Final = 8  # columns that an error names


@dataclass(frozen=True, slots=True)
class FolderText:
    """The text files of a folder.

    Attributes:
        files: Their paths, in the order of their names.
        column: Where lines and rows have their text.
        held_out_percent: Percentage of the documents for each of val and holdout.
        fingerprint: Hash of names and contents of all files, and of how they are read.
    """

    files: tuple[Path, ...]
    column: str
    held_out_percent: int
    fingerprint: str

    def sample(self) -> Iterator[str]:
        """Yield the first training documents."""
        return beginning_of(self.documents("train"))

    def documents(self, split: str) -> Iterator[str]:
        """Yield the documents of a split: those for training in the order of the files, held-out ones of a hash."""
        found = (text for text in self._all() if split_of(text, self.held_out_percent) == split)
        return found if split == "train" else iter(sorted(found, key=order_of))

    def _all(self) -> Iterator[str]:
        for path in self.files:
            try:
                with machine_errors(f"cannot read {path}, a file of target.corpus.folder"):
                    for text in _texts_of(path, self.column):
                        yield from filter(str.strip, _parts(text))
            except (EOFError, zlib.error) as error:
                raise TargetError(f"{path} is damaged, or not all of it is there: {error}") from error


def open_folder(corpus: Corpus) -> FolderText:
    """Return the text of `corpus.folder`.

    Raises:
        TargetError: There is no such folder, no file in it that is read, or one that cannot be read.
    """
    folder = folder_of(corpus)
    if not folder.is_dir():
        raise TargetError(f"target.corpus.folder must be a folder with text files, {folder} is none")
    files = tuple(sorted(path for path in folder.rglob("*") if path.name.endswith(_SUFFIXES) and path.is_file()))
    if not files:
        raise TargetError(f"target.corpus.folder={folder} has no file that ends in {', '.join(_SUFFIXES)}")
    digest = hashlib.sha256(f"{corpus.column} {corpus.held_out_percent} {PART_CHARACTERS}".encode())
    for path in files:
        with machine_errors(f"cannot read {path}, a file of target.corpus.folder"):
            digest.update(b"\n" + os.fsencode(path.relative_to(folder)) + f" {file_sha256(path)}".encode())
    return FolderText(files, corpus.column, corpus.held_out_percent, digest.hexdigest())


def folder_of(corpus: Corpus) -> Path:
    """Return the real path of `corpus.folder`, whether it exists or not.

    Raises:
        TargetError: It is not given.
    """
    if not corpus.folder:
        raise TargetError("corpus=files needs target.corpus.folder=DIR, the folder with your text")
    return Path(corpus.folder).resolve()


def _texts_of(path: Path, column: str) -> Iterator[str]:
    """Yield the documents of a file, as they are there."""
    if path.suffix == ".parquet":
        return _of_parquet(path, column)
    return _of_lines(path, column) if path.name.endswith(_OF_LINES) else _of_text(path)


def _open(path: Path) -> IO[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8", errors="replace", newline="")


def _of_text(path: Path) -> Iterator[str]:
    rest = ""
    with _open(path) as file:
        while chunk := file.read(_CHUNK_CHARACTERS):
            *whole, rest = (rest + chunk).split(_END)
            yield from whole
            *cut, rest = _parts(rest)
            yield from cut
    yield rest


def _of_lines(path: Path, column: str) -> Iterator[str]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TargetError(f"{path}, line {number}, must be a JSON object: {error}") from error
            if not isinstance(row, dict) or column not in row:
                has = ", ".join(list(row)[:_TOLD]) if isinstance(row, dict) else "no object"
                raise TargetError(f"{path}, line {number}, must have {_named(column)}, it has {has}")
            yield from _text(row[column], f"{path}, line {number}", column)


def _of_parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if column not in (columns := file.schema_arrow.names):
                raise TargetError(f"{path} must have {_named(column)}, it has {', '.join(columns[:_TOLD])}")
            for rows in file.iter_batches(_ROWS, columns=[column]):
                for value in rows.column(column).to_pylist():
                    yield from _text(value, str(path), column)
    except pyarrow.ArrowException as error:
        raise TargetError(f"{path} cannot be read as a parquet file: {error}") from error


def _named(column: str) -> str:
    return f"a column {column!r} with the text (target.corpus.column)"


def _text(value: Any, place: str, column: str) -> Iterator[str]:
    """Yield the text of a row; a row may have none."""
    if value is not None:
        if not isinstance(value, str):
            raise TargetError(f"{place}: {column!r} must be text, got {type(value).__name__}; see target.corpus.column")
        yield value.encode(errors="replace").decode()  # JSON may have half a character, which no bytes stand for


def _parts(text: str) -> Iterator[str]:
    """Cut a long text at the ends of lines, or else between words; the last part may be short or empty."""
    start = 0
    while len(text) - start > PART_CHARACTERS:
        bounds = start + PART_CHARACTERS // 2, start + PART_CHARACTERS
        end = max(text.rfind("\n", *bounds), 0) or max(text.rfind(" ", *bounds), 0) or bounds[1] - 1
        yield text[start : end + 1]
        start = end + 1
    yield text[start:]
