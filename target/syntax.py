"""Parsing what others wrote: whatever is wrong with it is a `SyntaxError`."""

from __future__ import annotations

import ast
import contextlib
import threading
from typing import Final

# CPython 3.11 counts the depth of a syntax tree under construction in one place for all threads, and fails with a
# SystemError when two of them take turns (gh-106905). Ours wait for each other; a library's may still come between.
_ONE_AT_A_TIME: Final = threading.Lock()
_TRIES: Final = 20


def parse(source: str) -> ast.Module:
    """Return the syntax tree of a source; safe to call from several threads.

    Raises:
        SyntaxError: It does not parse; null bytes, lone surrogates and nesting deeper than the parser goes included.
    """
    try:
        with _ONE_AT_A_TIME:
            return _parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "nested too deeply to be parsed") from error


def _parse(source: str) -> ast.Module:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)
