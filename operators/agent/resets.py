"""Reads the time of day at which a limit is lifted, as agents print it: `resets Oct 6, 1pm (Europe/Lisbon)`."""

from __future__ import annotations

import contextlib
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(
    r"(?:\bresets?|try again|available(?: again)?)(?: at| on)? "
    rf"(?:(?P<month>{'|'.join(_MONTHS)})[a-z]* (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?,? (?:at )?"
    rf"|(?P<weekday>{'|'.join(_DAYS)})[a-z]*,? (?:at )?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?: ?(?P<half>[ap])\.?m\b\.?|(?<=:\d\d)(?![:\d]))"
    r"(?: ?\(?(?P<zone>UTC|GMT|[A-Z]\w+/[\w/+-]+)\b(?![+-]\d))?",
    re.IGNORECASE,
)
_DATE: Final = re.compile(
    r"(?:resets?|again|access)(?: at| on)? (\d{4}-\d\d-\d\d)(?: at |T| )(\d\d:\d\d) ?(?:UTC|GMT|Z)"
)
_LATE: Final = timedelta(hours=1)
_LATE_DATE: Final = timedelta(days=30)


def seconds_until_reset(said: str, now: float) -> float | None:
    """Return how long it is until the time that a notice names, in seconds; None if it names none.

    A time without a date is the next one, but one that has just passed is now: the notice is late. Without a time zone
    it is that of this machine, where the agent runs.

    Args:
        said: The notice.
        now: Seconds since 1970.
    """
    if date := _DATE.search(said):
        with contextlib.suppress(ValueError):  # 2026-13-01
            return max(0.0, datetime.fromisoformat(f"{date[1]}T{date[2]}+00:00").timestamp() - now)
    found = _TIME.search(said)
    if found is None:
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found["half"].lower() == "p")
    here = datetime.fromtimestamp(now, UTC).astimezone(_zone(found["zone"]))
    try:
        at = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if found["month"]:
            year, month = int(found["year"] or here.year), _MONTHS.index(found["month"].lower()) + 1
            at = at.replace(year=year, month=month, day=int(found["day"]))
            if at < here - _LATE_DATE and not found["year"]:
                at = at.replace(year=year + 1)
    except ValueError:  # 25:70, or 30 February
        return None
    if not found["month"]:
        days = 7 if found["weekday"] else 1
        if found["weekday"]:
            at += timedelta(days=(_DAYS.index(found["weekday"].lower()) - at.weekday()) % days)
        if at < here - _LATE:
            at += timedelta(days=days)
    return max(0.0, at.timestamp() - now)


def _zone(name: str | None) -> tzinfo | None:
    """Return a time zone; None, which is that of this machine, if the notice names none, or one that is not known."""
    if name is None or name.upper() in ("UTC", "GMT"):
        return UTC if name else None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # no such zone, or no database of them
        return None
