"""How times, and texts from outside, are written for people."""

from __future__ import annotations

import re

from search.views.verdicts import one_line


def duration(seconds: float) -> str:
    """Write a time for people: `47 s`, `12:05 min` or `3:07 h`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def escape_markdown(text: str) -> str:
    """Return a text from outside as one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#|~!&])", r"\\\1", one_line(text))
