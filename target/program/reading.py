"""Reads the text of a program from a file of the user's."""

from __future__ import annotations

from pathlib import Path

from target.errors import TargetError
from target.program.program import Program


def read_program(path: Path) -> Program:
    """Return the program in a file, without the byte order mark that some editors put in front.

    Raises:
        TargetError: The file cannot be read, or is not text in UTF-8.
    """
    try:
        return Program(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TargetError(f"cannot read the program {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        found = f"0x{error.object[error.start]:02x} at byte {error.start}"
        raise TargetError(f"the program {path} must be text in UTF-8, got {found}; save it as UTF-8") from error
