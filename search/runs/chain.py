"""Numbers and hashes of the journal's lines, to detect lines that were changed, dropped, duplicated or moved.

A line that a search writes ends in `,"line":17,"sha256":"0123456789abcdef"}`: its number, and a hash of the previous
line's hash and of its own bytes up to there. Optuna ignores keys that it does not know, so Optuna and
`optuna-dashboard` read the journal as before.

Lines without number and hash are accepted: older journals have them, and Optuna and `optuna-dashboard` append them (its
notes, for example). They are counted and hashed too. The next line that a search writes protects them.

This detects accidents and careless edits. It does not stop a person who recomputes the hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_HEX_DIGITS: Final = 16  # 64 bits: two lines do not get the same hash by accident
_SEAL: Final = re.compile(rb',"line":([0-9]{1,18}),"sha256":"([0-9a-f]{%d})"\}\Z' % _HEX_DIGITS)
_HASH_BYTES: Final = len(b',"sha256":"' + b"f" * _HEX_DIGITS + b'"}')
_LONGEST_SEAL: Final = len(b',"line":' + b"9" * 18) + _HASH_BYTES


class ChainError(Exception):
    """A line differs from what was written there."""


@dataclass(slots=True)
class Chain:
    """The lines of a journal that have been read so far.

    Attributes:
        lines: Number of lines.
        n_bytes: Their length, line breaks included.
        sealed: Number of the last line with a hash; 0 before the first.
        sha256: Hash of the last line and all lines before it.
    """

    lines: int = 0
    n_bytes: int = 0
    sealed: int = 0
    sha256: str = ""

    def follow(self, line: bytes) -> None:
        """Add the next line, without its line break.

        Raises:
            ChainError: It is damaged, or is not the line that was written there.
        """
        number = self.lines + 1
        seal = _SEAL.search(line, max(0, len(line) - _LONGEST_SEAL))
        if seal is None:
            if _claims_seal(line):
                raise ChainError("it was written in another form")
            self._add(line, self._after(line))
            return
        said, expected = int(seal[1]), self._after(line[:-_HASH_BYTES])
        if seal[2].decode() != expected:
            _parsed(line)  # report plain damage first
            if said != number:
                raise ChainError(f"it was written as line {said}: lines were removed, duplicated or moved")
            first = self.sealed + 1
            where = "it was" if first == number else f"it, or another of the lines from {first} on, was"
            raise ChainError(f"{where} changed since it was written: its hash does not fit")
        self._add(line, expected)
        self.sealed = number

    def seal(self, record: Mapping[str, Any]) -> bytes:
        """Return a record as the next line, without its line break."""
        body = json.dumps({**record, "line": self.lines + 1}, separators=(",", ":")).encode()[:-1]
        return body + f',"sha256":"{self._after(body)}"}}'.encode()

    def _add(self, line: bytes, sha256: str) -> None:
        self.lines += 1
        self.n_bytes += len(line) + 1
        self.sha256 = sha256

    def _after(self, content: bytes) -> str:
        return hashlib.sha256(self.sha256.encode() + content).hexdigest()[:_HEX_DIGITS]


def _claims_seal(line: bytes) -> bool:
    record = _parsed(line)
    return isinstance(record, dict) and not record.keys().isdisjoint(("line", "sha256"))


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ChainError(f"not JSON ({error})") from error
