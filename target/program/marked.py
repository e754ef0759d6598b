"""Finds the lines that comments say not to change: `# Constants (fixed, do not modify)` above them, or behind them."""

from __future__ import annotations

import io
import re
import tokenize
from typing import Final

_VERB: Final = r"(?:modif|chang|edit|touch|alter|tun)\w*"
_LOCKED: Final = re.compile(
    rf"\b(?:do\s+not|don'?t|never|must\s+not|should\s+not|cannot)\s+(?:be\s+)?{_VERB}|\bimmutable\b|\bread[- ]only\b"
    r"|\(fixed\b|^\W*fixed\b(?!\s+\w+\s+rate)|\bend\s+of\b.*\b(?:modifiable|editable|tun[ea]ble)\b",
    re.IGNORECASE | re.MULTILINE,
)
_BEHIND: Final = re.compile(
    rf"\b(?:do\s+not|don'?t|never|must\s+not)\s+(?:be\s+)?{_VERB}|\bmust\s+match\b|\bkeep\s+(?:in\s+sync|fixed)\b",
    re.IGNORECASE,
)
_FREE: Final = re.compile(
    r"\b(?:modifiable|editable|tun[ea]ble|hyper-?param\w*)\b|\bedit\s+(?:these|this|me)\b", re.IGNORECASE
)
_RULE: Final = re.compile(r"[-=#*~_─━═]{4,}")
_MAY_LOCK: Final = re.compile(f"{_LOCKED.pattern}|{_BEHIND.pattern}", re.IGNORECASE | re.MULTILINE)


def marked_lines(source: str) -> set[int]:
    """Return the numbers of the lines, from 1, that a comment says not to change.

    A comment behind code means its line. One above code means the lines up to the next blank one. If it has a ruled
    line, or a blank line after it, it is the heading of a section, which ends at the next heading, or where a comment
    says that what follows may be edited.

    Raises:
        SyntaxError: If the source does not parse.
    """
    if not _MAY_LOCK.search(source):
        return set()
    lines = list(io.StringIO(source, newline=None))  # as the tokenizer counts them: form feeds end no line
    own, found = dict[int, str](), set[int]()
    try:
        for token in tokenize.generate_tokens(io.StringIO(source, newline=None).readline):
            if token.type == tokenize.COMMENT:
                if token.line[: token.start[1]].strip():
                    found |= {token.start[0]} if _BEHIND.search(token.string) else set()
                elif not token.start[1]:
                    own[token.start[0]] = token.string
    except (tokenize.TokenError, IndentationError) as error:
        raise SyntaxError(str(error)) from error
    section = ruled = paragraph = (
        False  # the section is marked; its heading was ruled; only the lines up to a blank one
    )
    number = 0
    while number < len(lines):
        number += 1
        if number not in own:
            paragraph = paragraph and bool(lines[number - 1].strip())
            if section or paragraph:
                found.add(number)
            continue
        block = [own[number]]
        while number + 1 in own:
            number += 1
            block.append(own[number])
        text = "\n".join(block)
        is_ruled = any(map(_RULE.search, block))
        heads = is_ruled or number == len(lines) or not lines[number].strip()
        marks = bool(_LOCKED.search(text)) and not _FREE.search(text.partition("(")[0])
        if marks and heads:
            section, ruled, paragraph = True, is_ruled, False
        elif marks:
            paragraph = True
        elif is_ruled or _FREE.search(text) or (section and not ruled and heads):
            section = paragraph = False
    return found
