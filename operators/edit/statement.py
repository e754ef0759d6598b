"""Reads the change that a model states, and its reason."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Final

from operators.edit.text import split_lines
from operators.edit.thinking import without_thinking
from target.program import Program

_CHARACTERS: Final = 200
_REASON_CHARACTERS: Final = 2_000
_LABELS: Final = r"[\s>#*_-]*(?:{})[\s*_]*:[\s*_]*(?P<text>\S.*)"
_CHANGE = re.compile(_LABELS.format("change|changes|summary|description|title"), re.IGNORECASE)
_REASON = re.compile(_LABELS.format("hypothesis|rationale|reason|reasoning|why|expectation"), re.IGNORECASE)
_CODE = re.compile(
    r"^[ \t]*(?P<ticks>`{3,}|~{3,}).*?(?:^[ \t]*(?P=ticks)|\Z)|^[ \t]*<{5,}.*?(?:^[ \t]*>{5,}.*?$|\Z)|^--- .*\Z",
    re.DOTALL | re.MULTILINE,
)
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")
_POLITE = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok|absolutely|great(?: question)?|got it|thank you|thanks)[!.,]+\s*)+",
    re.IGNORECASE,
)  # says nothing of the change
_SHOWN_CONSTANTS: Final = 4


def stated(reply: str, *, of_agent: bool = False) -> tuple[str, str]:
    """Return the change that a reply states, in one line, and its hypothesis; empty where it states none.

    The statement is in lines such as `CHANGE: ...` and `HYPOTHESIS: ...`, in a JSON object with such keys, or else in
    the first sentence of the prose.

    Args:
        reply: A model's answer, or an agent's output.
        of_agent: Whether an agent has written it while it worked: its last statement counts, and no other sentence.
    """
    text = without_thinking(reply.replace("\r\n", "\n"))
    said = _json_object(text)
    change, reason = (
        next((str(value) for key, value in said.items() if pattern.fullmatch(f"{key}: x") and value), "")
        for pattern in (_CHANGE, _REASON)
    )
    words = _CODE.sub("", text)
    place = -1 if of_agent else 0
    change, reason = change or _labelled(words, _CHANGE, place), reason or _labelled(words, _REASON, place)
    change = change or ("" if of_agent else _first_sentence(words))
    return _one_line(change, _CHARACTERS), _one_line(reason, _REASON_CHARACTERS)


def difference(old: Program, new: Program) -> str:
    """Return in one line how two programs differ, for a change without a description."""
    moved = [
        f"{name} {old.constants[name]!r} -> {value!r}"
        for name, value in new.constants.items()
        if name in old.constants and old.constants[name] != value
    ]
    if old.skeleton_id == new.skeleton_id and moved:
        more = f" and {len(moved) - _SHOWN_CONSTANTS} more" if len(moved) > _SHOWN_CONSTANTS else ""
        return _one_line(", ".join(moved[:_SHOWN_CONSTANTS]) + more, _CHARACTERS)
    lines = list(difflib.unified_diff(split_lines(old.source)[0], split_lines(new.source)[0], n=0))[2:]
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    return f"{added} lines added, {removed} removed"


def _labelled(text: str, pattern: re.Pattern[str], place: int) -> str:
    """Return what is behind the first label (place 0) or the last (-1), with the lines that go on."""
    lines = text.split("\n")
    found = [(number, match["text"]) for number, line in enumerate(lines) if (match := pattern.fullmatch(line))]
    if not found:
        return ""
    number, first = found[place]
    following = lines[number + 1 :]
    end = next((k for k, each in enumerate(following) if not each.strip() or _any_label(each)), len(following))
    return " ".join([first, *following[:end]])


def _any_label(line: str) -> bool:
    return bool(_CHANGE.fullmatch(line) or _REASON.fullmatch(line))


def _first_sentence(prose: str) -> str:
    lines = (line.strip(" \t#>*_-") for line in prose.split("\n"))
    lines = (_POLITE.sub("", line) for line in lines)
    line = next((line for line in lines if len(line.split()) > 1 and line[:1].isalnum()), "")
    match = _SENTENCE.match(line[:_REASON_CHARACTERS])
    return match[1] if match else line.removesuffix(":")


def _json_object(text: str) -> dict[str, Any]:
    start = text.find("{")
    if start < 0:
        return {}
    try:
        said, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _one_line(text: str, characters: int) -> str:
    """Return a text in one line of printable characters, cut at a length."""
    line = "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
    return line if len(line) <= characters else line[: characters - 3].rstrip() + "..."
