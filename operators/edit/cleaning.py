"""Cleans the text of a reply: removes remains of transport and templates."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.text import closes_fence, fence_of, unescape

_ESCAPED_MARKER: Final = re.compile(r"^[ \t]{0,40}&(?:amp;){0,2}lt;(?:&(?:amp;){0,2}lt;){2,11}(?!&)", re.MULTILINE)
_END_TOKENS: Final = (
    "<|return|>", "<|end|>", "<|call|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "</s>", "<eos>", "[/INST]", "<｜end▁of▁sentence｜>",
)  # fmt: skip
_JOINED: Final = re.compile(r"(>{5,9} ?REPLACE)[ \t]{0,9}(?=<{5,9} ?SEARCH)")
_SEPARATOR: Final = "]<]minimax[>["
"""Stands before each tag of MiniMax."""
_OUTER_LABELS: Final = frozenset({"markdown", "md"})
_UNESCAPES: Final = 3
_HTML_OPENING: Final = re.compile(
    r"(?:^[ \t]{0,40}|(?<=>))<pre\b[^<>]{0,200}>[ \t]*(?:<code\b(?P<attributes>[^<>]{0,200})>)?\n?",
    re.IGNORECASE | re.MULTILINE,
)
_HTML_CLOSING: Final = re.compile(r"\n?[ \t]{0,40}(?:</code>[ \t]{0,40})?</pre>", re.IGNORECASE)
_HTML_LANGUAGE: Final = re.compile(r"class=[\"'](?:lang(?:uage)?-)?(\w{1,20})")
_HTML_FENCE: Final = "``````"


def cleaned(reply: str) -> str:
    """Return a reply with plain line breaks, and without byte order mark, end tokens, CDATA and escaped marks."""
    text = reply.removeprefix("\ufeff").replace("\r\r\n", "\n").replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    for _ in range(_UNESCAPES):
        if not _ESCAPED_MARKER.search(text):
            break
        text = unescape(text)
    if "<![CDATA[" in text:
        text = text.replace("<![CDATA[", "\n").replace("]]>", "\n")
    text = _JOINED.sub(r"\1\n", text).replace(_SEPARATOR, "")
    return _without_end(text)


def with_html_as_fences(text: str, source: str) -> str:
    """Return a text with fences in place of HTML's blocks of code.

    A text with other fences, or with an edit outside of such blocks, is no HTML: the tags may be part of the program.

    Args:
        text: A reply.
        source: The present file; if it has the tag, nothing is done.
    """
    if "<pre" in source or "```" in text:
        return text
    parts, begin = list[str](), 0
    while (opening := _HTML_OPENING.search(text, begin)) and (closing := _HTML_CLOSING.search(text, opening.end())):
        language = _HTML_LANGUAGE.search(opening["attributes"] or "")
        label = language[1] if language else ""
        code = text[opening.end() : closing.start()]
        parts += [text[begin : opening.start()], f"\n{_HTML_FENCE}{label}\n{code}\n{_HTML_FENCE}\n"]
        begin = closing.end()
    parts.append(text[begin:])
    return text if any("<<<<<<" in outside for outside in parts[::2]) else "".join(parts)


def without_outer_fences(text: str) -> str:
    """Return a text without the fences that show an answer as Markdown, with fences of its own inside."""
    if "markdown" not in text and "md" not in text:
        return text
    lines, opening = text.split("\n"), -1
    for number, line in enumerate(lines):
        fence = fence_of(line)
        if fence is None:
            continue
        if opening < 0:
            opening = number if fence["label"].strip().lower() in _OUTER_LABELS else opening
        elif (begun := fence_of(lines[opening])) and closes_fence(fence, begun):
            if any(map(fence_of, lines[opening + 1 : number])):
                lines[opening] = lines[number] = ""
            opening = -1
    return "\n".join(lines)


def without_fence_indents(text: str) -> str:
    """Return a text whose indented fences, as in an item of a list, begin at the margin with all that is in them."""
    if "```" not in text and "~~~" not in text:
        return text
    lines, opening = text.split("\n"), -1
    for number, line in enumerate(lines):
        fence = fence_of(line)
        if fence and opening < 0:
            opening = number
        elif fence and (begun := fence_of(lines[opening])) and closes_fence(fence, begun):
            _dedent(lines, opening, number + 1)
            opening = -1
    return "\n".join(lines)


def _dedent(lines: list[str], start: int, stop: int) -> None:
    """Remove the indentation of a fence from its lines, as far as all that is in it has that much."""
    inside = [line for line in lines[start + 1 : stop - 1] if line.strip()]
    indent = min([len(line) - len(line.lstrip(" ")) for line in (lines[start], *inside)])
    if indent:
        lines[start:stop] = [line[indent:] for line in lines[start:stop]]
        lines[start], lines[stop - 1] = lines[start].lstrip(" "), lines[stop - 1].lstrip(" ")


def _without_end(text: str) -> str:
    """Return a text without the end tokens of chat templates."""
    bare = text.rstrip()
    found = True
    while found:
        found = False
        for token in _END_TOKENS:
            if bare.endswith(token):
                bare, found = bare.removesuffix(token).rstrip(), True
                text = bare + "\n"
    return text
