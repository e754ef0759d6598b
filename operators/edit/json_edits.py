"""Reads edits as JSON or as a Python literal: a tool call in the text, a list of edits, new values of constants."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from operators.edit.foreign import (
    EVERYWHERE,
    NEW,
    OLD,
    PATCH,
    PATH,
    WHOLE,
    Foreign,
    edit_from,
    plain_name,
    refuse_line_numbers,
)
from operators.edit.text import EditError, quoted
from target.program.syntax import parse

_BEGIN: Final = re.compile(
    r"(?:^[ \t]{0,40}|(?=<\|tool_call>|\[TOOL_CALLS\]))"
    r"(?:(?:<[\w|]{1,40}>|\[[A-Z_]{1,20}\](?:\w[\w.-]{0,40}(?=[\[{]))?|functions\.\w{1,40}(?::\d{1,4}|[:\s]))"
    r"[ \t]{0,9}){0,6}"
    r"(?=[{\[]\s{0,99}(?:[\"'{\[]|//|/\*))",
    re.MULTILINE,
)
_NEXT: Final = re.compile(r"\s{0,99},\s{0,99}(?=[{\[])")
_EXTRAS: Final = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*(?:(?://[^\n]*|/\*.*?\*/)\s*)*[}\]])""", re.DOTALL
)
_TRIES: Final = 60
_LITERAL_CHARACTERS: Final = 100_000
_DEPTH: Final = 12
_NEW_VALUE: Final = ("value", "new", "newvalue", "to", "proposed", "suggested")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")


def json_edits(text: str) -> tuple[Foreign, str]:
    """Return the edits that are JSON in a text, and the text without that JSON.

    Raises:
        EditError: An edit names two old or two new texts, or an old text without a new one.
    """
    found, rest, position = Foreign(), list[str](), 0
    for start, stop, value in _values(text):
        before = (len(found.blocks), len(found.files), len(found.texts), len(found.values))
        _read(value, found, file=None, depth=0)
        if before != (len(found.blocks), len(found.files), len(found.texts), len(found.values)):
            rest += [text[position:start], "\n" * text.count("\n", start, stop)]
            position = stop
    return found, "".join([*rest, text[position:]])


def edits_of(value: Any) -> Foreign:
    """Return the edits in a JSON value.

    Raises:
        EditError: As of `json_edits`.
    """
    found = Foreign()
    _read(value, found, file=None, depth=0)
    return found


def _values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield the start, the end and the value of each JSON value in a text."""
    decoder = json.JSONDecoder(strict=False)  # models put line breaks into strings
    position, start = 0, -1
    for _ in range(_TRIES):
        if start < 0:
            match = _BEGIN.search(text, position)
            if match is None:
                return
            start = match.end()
        try:
            value, stop = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            stop = _end_of_literal(text, start)
            value = _relaxed(text[start:stop]) or _literal(text[start:stop])
        if value is None:
            position, start = start + 1, -1
            continue
        yield start, stop, value
        following = _NEXT.match(text, stop)
        position, start = stop, following.end() if following else -1


def _end_of_literal(text: str, start: int) -> int:
    ends = [place for mark in ("\n```", "\n~~~", "</") if (place := text.find(mark, start)) >= 0]
    return min(ends, default=len(text))


def _relaxed(text: str) -> Any:
    """Return the value of JSON with comments or with commas before closing brackets; None for any other text."""
    if len(text) > _LITERAL_CHARACTERS:
        return None
    plain = _EXTRAS.sub(lambda match: match["string"] or " ", text)
    try:
        return json.JSONDecoder(strict=False).decode(plain.strip())
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    """Return the value of a Python literal; None for any other text."""
    if len(text) > _LITERAL_CHARACTERS:
        return None
    try:
        body = parse(text.strip()).body
        return ast.literal_eval(body[0].value) if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _read(value: Any, found: Foreign, *, file: str | None, depth: int) -> None:
    if depth > _DEPTH:
        return
    if isinstance(value, Mapping):
        _read_object(value, found, file=file, depth=depth)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _read(each, found, file=file, depth=depth + 1)


def _read_object(value: Mapping[Any, Any], found: Foreign, *, file: str | None, depth: int) -> None:
    named = {plain_name(str(key)): each for key, each in value.items()}
    said = {name: text for name, each in named.items() if (text := _text(each)) is not None}
    file = next((said[name] for name in said if name in PATH), file)
    if edit := edit_from(said, file=file, everywhere=any(named.get(name) is True for name in EVERYWHERE)):
        found.blocks.append(edit)
        return
    _refuse_halves(said, file)
    if values := _constants(value):
        found.values.append(values)
        return
    refuse_line_numbers(named)
    if whole := next((text for name, text in said.items() if name in WHOLE), None):
        found.files.append(whole)
        return
    for name, each in named.items():
        if isinstance(each, str):
            if name in PATCH:
                _read_text(each, found, file=file, depth=depth)
        elif name in PATCH and isinstance(each, list) and len(each) > 1 and all(isinstance(one, str) for one in each):
            _read_text(each[-1], found, file=file, depth=depth)  # ["apply_patch", "*** Begin Patch..."]
        else:
            _read(each, found, file=file, depth=depth + 1)


def _text(value: Any) -> str | None:
    """Return a text, or a list of lines as a text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return "\n".join(line.removesuffix("\n") for line in value)
    return None


def _refuse_halves(said: Mapping[str, str], file: str | None) -> None:
    old = next((name for name in said if name in OLD), None)
    new = next((name for name in said if name in NEW), None)
    name = old or new
    if file is not None and name:
        raise EditError(
            f"the edit has only {'an old' if old else 'a new'} text ({name}: {quoted(said[name])}): "
            "an edit needs both, the present text and its replacement"
        )


def _read_text(text: str, found: Foreign, *, file: str | None, depth: int) -> None:
    bare = text.strip()
    if bare[:1] in ("{", "["):
        try:
            value = json.JSONDecoder(strict=False).decode(bare)
        except (ValueError, RecursionError):
            value = None
        if value is not None:
            _read(value, found, file=file, depth=depth + 1)
            return
    if any(mark in text for mark in ("*** Begin Patch", "<<", "------- SEARCH", "@@", "--- ")):
        found.texts.append(text)


def _new_value(value: Any) -> Any:
    """Return the new value in `{"from": 8, "to": 12}`; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    new = [each for key, each in value.items() if plain_name(str(key)) in _NEW_VALUE]
    return new[0] if len(new) == 1 else value


def _constants(value: Mapping[Any, Any]) -> str | None:
    """Return an object of constants and their values as code: `{"DEPTH": 12}`, `{"name": "DEPTH", "value": 12}`."""
    named = {plain_name(str(key)): each for key, each in value.items()}
    name = next((named[key] for key in ("name", "constant", "parameter") if key in named), None)
    new = [key for key in _NEW_VALUE if key in named]
    if isinstance(name, str) and _NAME.fullmatch(name) and len(new) == 1:
        return _constants({name: named[new[0]]})
    if not value or not all(isinstance(key, str) and _NAME.fullmatch(key) for key in value):
        return None
    value = {key: _new_value(each) for key, each in value.items()}
    if not all(isinstance(each, bool | int | float | str) for each in value.values()):
        return None
    return "\n".join(f"{key} = {each!r}" for key, each in value.items())
