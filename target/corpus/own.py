"""Text of the user's own, `corpus=files`: the documents of all text files in a folder.

    .txt      one document, or several with `<|endoftext|>` between them, as TinyStories has them
    .jsonl    a document a line: a JSON object with the text under `corpus.column`; C4 and Dolma call it .json.gz
    .parquet  a document a row, in the same column

`.txt` and `.jsonl` may be compressed, `.txt.gz`. A long document is cut at ends of lines, or between words, into parts
that are documents of their own: so a text that is one file has held-out parts too.

A document is held out by a hash of its text, so equal documents are in the same split.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from target.corpus.cache import file_sha256
from target.corpus.columns import of_lines, of_parquet, open_text
from target.corpus.documents import beginning_of, order_of, split_of
from target.errors import TargetError, machine_errors
from target.spec import Corpus

FILES: Final = "files"  # the name of the corpus
PART_CHARACTERS: Final = 32_768
_END: Final = "<|endoftext|>"
_CHUNK_CHARACTERS: Final = 1 << 24  # of a file in memory at a time
_OF_LINES: Final = (".jsonl", ".jsonl.gz", ".json.gz")
_SUFFIXES: Final = (".txt", ".txt.gz", *_OF_LINES, ".parquet")


@dataclass(frozen=True)  # without slots: what is cached has no place in them
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
        if split == "train":
            return (text for found, text in self._all() if found == split)
        return iter(self._held_out[split])

    @functools.cached_property
    def _held_out(self) -> dict[str, list[str]]:
        """The documents of val and holdout: they are sorted, so all files are read for the first one."""
        texts: dict[str, list[str]] = {"val": [], "holdout": []}
        for split, text in self._all():
            if split in texts:
                texts[split].append(text)
        return {split: sorted(found, key=order_of) for split, found in texts.items()}

    def _all(self) -> Iterator[tuple[str, str]]:
        """Yield each document behind its split."""
        for path in self.files:
            with _reading(path):
                for text in _texts_of(path, self.column):
                    for part in filter(str.strip, _parts(text)):
                        yield split_of(part, self.held_out_percent), part


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
        with _reading(path):
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


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise what keeps a file from being read as a `TargetError`."""
    try:
        with machine_errors(f"cannot read {path}, a file of target.corpus.folder"):
            yield
    except (EOFError, zlib.error) as error:
        raise TargetError(f"{path} is damaged, or not all of it is there: {error}") from error


def _texts_of(path: Path, column: str) -> Iterator[str]:
    """Yield the documents of a file, as they are there."""
    if path.suffix == ".parquet":
        return of_parquet(path, column)
    return of_lines(path, column) if path.name.endswith(_OF_LINES) else _of_text(path)


def _of_text(path: Path) -> Iterator[str]:
    rest = ""
    with open_text(path) as file:
        while chunk := file.read(_CHUNK_CHARACTERS):
            *whole, rest = (rest + chunk).split(_END)
            yield from whole
            *cut, rest = _parts(rest)
            yield from cut
    yield rest


def _parts(text: str) -> Iterator[str]:
    """Cut a long text at the ends of lines, or else between words; the last part may be short or empty."""
    start = 0
    while len(text) - start > PART_CHARACTERS:
        bounds = start + PART_CHARACTERS // 2, start + PART_CHARACTERS
        end = max(text.rfind("\n", *bounds), 0) or max(text.rfind(" ", *bounds), 0) or bounds[1] - 1
        yield text[start : end + 1]
        start = end + 1
    yield text[start:]
