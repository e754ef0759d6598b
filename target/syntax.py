"""Parsing what others wrote: whatever is wrong with it is a `SyntaxError`."""

from __future__ import annotations

import ast


def parse(source: str) -> ast.Module:
    """Return the syntax tree of a source.

    Raises:
        SyntaxError: It does not parse; null bytes, lone surrogates and nesting deeper than the parser goes included.
    """
    try:
        return ast.parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "nested too deeply to be parsed") from error
