"""Untrusted text for a terminal: control characters, and those that change the order of text, become escapes."""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO


def printable(text: str) -> str:
    r"""Return a text with escapes, such as `\x1b`, for all but printable characters, line ends and tabs."""
    return "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", errors="surrogatepass").decode("ascii")


class PrintableStream(io.RawIOBase):
    """Passes bytes on to a stream of bytes, with escapes for characters that control a terminal.

    Args:
        target: Gets the text, as UTF-8.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Write bytes; an incomplete character is held back. Carriage returns stay, for progress bars."""
        text = self._decoder.decode(bytes(content))
        self._target.write("\r".join(map(printable, text.split("\r"))).encode(errors="backslashreplace"))
        return len(content)

    def flush(self) -> None:
        """Flush the target."""
        self._target.flush()
