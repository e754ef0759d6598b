"""Times as users read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Format a time: `47 s`, `12:05 min` or `3:07 h`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
