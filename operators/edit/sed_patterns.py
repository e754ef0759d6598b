"""Writes the patterns and the new texts of `sed` in the way of Python's `re`."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.text import EditError, quoted

ADVICE: Final = "send the edit itself: a SEARCH/REPLACE block with the present lines and the new ones"
CHARACTERS: Final = 300
"""Longest pattern, and longest line that is compared with one: repetitions make a comparison slow."""
_REPETITIONS: Final = 2
_TOKEN: Final = re.compile(r"\[\^?\]?[^\]]*\]|\\.|.", re.DOTALL)
_NEW_TOKEN: Final = re.compile(r"\\.|&|\\", re.DOTALL)


def pattern_of(text: str, *, extended: bool) -> re.Pattern[str]:
    r"""Return a pattern in the basic syntax of sed, where `\(` begins a group, or in the extended one, where `(` does.

    Raises:
        EditError: It has something else than characters, sets, `.`, groups, repetitions of single ones, and anchors.
    """
    tokens, parts, repetitions = _TOKEN.findall(text), list[str](), 0
    for number, token in enumerate(tokens):
        bare = token[1:] if token[0] == "\\" and len(token) == 2 else token
        special = (len(token) == 1) == extended
        if token[0] == "[" and len(token) > 1:
            parts.append(_set(token))
        elif token == "*" or (bare in ("+", "?") and special):
            if not parts or parts[-1] in ("(", ")", "^", "*", "+", "?"):
                raise _unread(text)
            repetitions += 1
            parts.append(bare)
        elif (bare in ("(", ")") and special) or token in (".", r"\s", r"\w", r"\b", r"\S"):
            parts.append(token if token[0] != "\\" or bare.isalpha() else bare)
        elif (token == "^" and not number) or (token == "$" and number == len(tokens) - 1):
            parts.append(token)
        elif special and (bare in ("{", "}", "|") or ((bare in "<>`'" or bare.isalnum()) and len(token) == 2)):
            raise _unread(text)
        else:
            parts.append(re.escape(bare))
    if len(text) > CHARACTERS or repetitions > _REPETITIONS:
        raise _unread(text)
    try:
        return re.compile("".join(parts))
    except re.error:
        raise _unread(text) from None


def template_of(text: str) -> str:
    """Return the new text of a substitution as a template of `re.Match.expand`.

    Raises:
        EditError: It has an escape that is not known.
    """

    def plain(match: re.Match[str]) -> str:
        token = match[0]
        if token == "&":
            return r"\g<0>"
        if token in (r"\n", "\\\n"):
            return r"\n"
        if token[1:].isdigit():
            return rf"\g<{token[1:]}>"
        if token[1:].isalpha():
            raise EditError(f"the new text {quoted(text)} is not read; {ADVICE}")
        return token[1:].replace("\\", "\\\\") or "\\\\"

    return _NEW_TOKEN.sub(plain, text)


def _set(token: str) -> str:
    inside = token[1:-1].replace("\\", "\\\\").replace("[:space:]", r"\s").replace("[:digit:]", r"\d")
    return f"[{inside}]"


def _unread(text: str) -> EditError:
    return EditError(f"the pattern {quoted(text)} is not read; {ADVICE}")
