"""Reads numbers as people write them: with thousands separators, currency signs and names of types, or as shares."""

from __future__ import annotations

import re
from typing import Final

_THOUSANDS: Final = re.compile(r"(?<![\w.,])[+-]?\d{1,3}(?:,\d{3})+(?![\d,])")
_CURRENCY: Final = re.compile(r"(?<=[\s:=(])([+-]?)[$€£¥](?=\d)")
_TYPED: Final = re.compile(
    r"\b(?:\w+\.)?(?:bfloat16|float\d*|int\d+|tensor|Tensor|array|Array)\(\s*([+-]?(?:\d[\d.]*(?:e[+-]?\d+)?|nan|inf))\s*"
    r"(?:,[^()\[\]]{0,80})?\)"
)
_LISTED: Final = re.compile(r"(?<=[:=])(\s?)\[\s*([+-]?\d[\d.]*(?:e[+-]?\d+)?)\s*\](?![\w\[])")
_MAY_HAVE: Final = re.compile(r"\d,\d|[$€£¥]|\w\(|[:=]\s?\[")
_SHARE: Final = re.compile(r"(\d{1,15})\s*/\s*(\d{1,15})\s*(?:\([^()]*\))?")
_MOST_CHARACTERS: Final = 10_000  # of a line


def plain_digits(text: str) -> str:
    """Return a text with its numbers as Python writes them.

    `12,345.6`, `$12,345.6`, `np.float64(12345.6)`, `tensor(12345.6, device='cuda:0')`, and `[12345.6]`
    behind a colon or an equals sign, become `12345.6`. A comma in
    any other place, as in `0.5,123` or `1,2`, separates two numbers and stays.
    """
    if len(text) > _MOST_CHARACTERS or not _MAY_HAVE.search(text):
        return text
    text = _LISTED.sub(r"\1\2", _TYPED.sub(r"\1", _CURRENCY.sub(r"\1", text)))
    return _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)


def share_in(text: str) -> tuple[int, int] | None:
    """Return the two numbers of a share, such as 18 and 33 of `18/33` or of `18 / 33 (55%)`; None for other texts."""
    found = _SHARE.fullmatch(text.strip())
    return (int(found[1]), int(found[2])) if found and int(found[1]) <= int(found[2]) > 1 else None
