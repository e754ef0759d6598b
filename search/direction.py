"""program.md: where the human sets the direction of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from search.errors import UserError

_PACKAGED: Final = Path(__file__).with_name("program.md")  # a wheel has no repository root
_ROOT: Final = Path(__file__).parents[1] / "program.md"


def find_direction(path: str | Path | None) -> Path:
    """Return the direction file, by default the program.md of the project. It is read again at each proposal.

    Raises:
        UserError: If it cannot be read.
    """
    file = Path(path).expanduser() if path else _PACKAGED if _PACKAGED.exists() else _ROOT
    try:
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UserError(f"direction must name a text file, {file} cannot be read: {why}") from error
    return file.absolute()
