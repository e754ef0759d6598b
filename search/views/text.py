"""Formats counts and untrusted texts for display."""

from __future__ import annotations

import re
from typing import Final

from search.views.verdicts import one_line


def counted(count: int, noun: str) -> str:
    """Return a number with a noun: `1 training`, `2 trainings`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def in_words(status: str) -> str:
    """Return a status as users read it: `out of memory`."""
    return status.replace("_", " ")


_MARKUP: Final = re.compile(
    r"""[\\`*\[\]<|~]  # wherever they are
    | (?<![^\W_])_ | _(?![^\W_])  # but not in a name such as val_bpb
    | &(?=[#\w])  # an entity
    | ^(?:[>\#=+-]|\d+(?=[.)]))  # quotation, heading, list; `one -> two` stays as it is
    """,
    re.VERBOSE,
)


def escape_markdown(text: str) -> str:
    """Return an untrusted text as one line that Markdown shows unchanged, with no more escapes than that needs.

    A report is read in a terminal, too.
    """
    return _MARKUP.sub(_escaped, one_line(text))


def _escaped(found: re.Match[str]) -> str:
    return f"{found[0]}\\" if found[0].isdecimal() else f"\\{found[0]}"
