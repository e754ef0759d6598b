"""Texts in a column: rows of parquet files, and lines of JSON. A part of a file is in memory at a time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from target.errors import TargetError

_ROWS: Final = 1_024  # of a parquet file in memory at a time
_TOLD: Final = 8  # columns that an error names


def open_text(path: Path) -> IO[str]:
    """Open a text file, which may be compressed with gzip; bytes that are no UTF-8 are replaced."""
    opened = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8", errors="replace", newline="")


def of_parquet(path: Path, column: str) -> Iterator[str]:
    """Yield the texts of a parquet file; a row may have none.

    Raises:
        TargetError: It is no such file, or its column is missing or has something else.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if column not in (columns := file.schema_arrow.names):
                raise _missing(str(path), column, columns)
            for rows in file.iter_batches(_ROWS, columns=[column]):
                for value in rows.column(column).to_pylist():
                    yield from _text(value, str(path), column)
    except pyarrow.ArrowException as error:
        raise TargetError(f"{path} cannot be read as a parquet file: {error}") from error


def of_lines(path: Path, column: str) -> Iterator[str]:
    """Yield the texts of a file with a JSON object a line; an object may have none.

    Raises:
        TargetError: A line is no such object, or its column is missing or has something else.
    """
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TargetError(f"{place}, must be a JSON object: {error}") from error
            if not isinstance(row, dict) or column not in row:
                raise _missing(f"{place},", column, list(row) if isinstance(row, dict) else ["no object"])
            for text in _text(row[column], place, column):
                yield text.encode(errors="replace").decode()  # JSON may have half a character, which has no bytes


def _missing(place: str, column: str, there: Sequence[str]) -> TargetError:
    has = ", ".join(there[:_TOLD])
    return TargetError(f"{place} must have a column {column!r} with the text (target.corpus.column), it has {has}")


def _text(value: Any, place: str, column: str) -> Iterator[str]:
    if value is not None:
        if not isinstance(value, str):
            raise TargetError(f"{place}: {column!r} must be text, got {type(value).__name__}; see target.corpus.column")
        yield value
