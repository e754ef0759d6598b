"""Checks of every program from a reply, independent of the form of the reply."""

from __future__ import annotations

from operators.edit.text import EditError, quoted
from target.program.contract import SOURCE_BYTES

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def checked(result: str, source: str) -> str:
    """Return a program unless it shows that the reply was damaged in transit.

    Raises:
        EditError: The reply was damaged, or the program is too large.
    """
    if result.count(_REPLACEMENT) > source.count(_REPLACEMENT):
        line = next(line for line in result.split("\n") if _REPLACEMENT in line)
        raise EditError(f"the answer has characters that were lost in transit: {quoted(line.strip())}")
    if len(result) > SOURCE_BYTES:
        raise EditError(f"size: the program may have {SOURCE_BYTES} bytes, got {len(result)} characters")
    return result
