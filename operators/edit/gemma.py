"""Writes Gemma's tool calls as JSON: `<|tool_call>call:edit{path:<|"|>train.py<|"|>}<tool_call|>`."""

from __future__ import annotations

import json
import re
from typing import Final

_OPEN: Final = re.compile(r"<\|tool_call>\s{0,9}call:[\w.:-]{1,60}(?=\{)")
_CLOSE: Final = "<tool_call|>"
_QUOTE: Final = '<|"|>'
_KEY: Final = re.compile(r"(?P<before>[{,]\s{0,9})(?P<key>[A-Za-z_]\w{0,60})\s{0,9}:")


def with_gemma_as_json(text: str) -> str:
    """Return a text with the arguments of Gemma's calls as JSON between the marks of the call.

    A call without its closing mark stays as it is: its last argument may be cut off.
    """
    rest, position = list[str](), 0
    for match in _OPEN.finditer(text):
        if match.start() < position:
            continue
        parts, place = list[str](), match.end()
        while True:  # strings stand between quotes of two, all else outside of them
            quote, close = text.find(_QUOTE, place), text.find(_CLOSE, place)
            if close >= 0 and (quote < 0 or close < quote):
                parts.append(_KEY.sub(r'\g<before>"\g<key>":', text[place:close]))
                lines = "\n" * (text.count("\n", match.start(), close) - "".join(parts).count("\n"))
                rest += [text[position : match.start()], "<|tool_call>", *parts, lines]
                position = close
                break
            end = text.find(_QUOTE, quote + len(_QUOTE)) if quote >= 0 else -1
            if end < 0:
                break
            parts += [
                _KEY.sub(r'\g<before>"\g<key>":', text[place:quote]),
                json.dumps(text[quote + len(_QUOTE) : end]),
            ]
            place = end + len(_QUOTE)
    return "".join([*rest, text[position:]])
