"""What every program that comes of a reply must be, whatever form the reply had."""

from __future__ import annotations

from operators.edit.text import EditError, quoted
from target.program.contract import SOURCE_BYTES

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def checked(result: str, source: str) -> str:
    """Return a program, if nothing about it shows that the reply was damaged on its way.

    Raises:
        EditError: Something does.
    """
    if result.count(_REPLACEMENT) > source.count(_REPLACEMENT):
        line = next(line for line in result.split("\n") if _REPLACEMENT in line)
        raise EditError(f"the answer holds characters that were lost on the way: {quoted(line.strip())}")
    if len(result) > SOURCE_BYTES:
        raise EditError(f"size: the program may have {SOURCE_BYTES} bytes, got {len(result)} characters")
    return result
