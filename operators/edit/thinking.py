"""Removes a model's thinking, with all known marks, before its answer is read.

Known marks: tags such as `<think>`, `<thinking_process>`, `<seed:think>`, `<longcat_think>` and
`<|begin_of_thought|>`, `[THINK]`, `[BEGIN OF THOUGHT]`,
`◁think▷`, the channels of harmony (`<|channel|>analysis<|message|>`), Gemma's `<|channel>thought`, folded `<details>`,
a fence with the label `thinking`, and the heading `## Thinking`, if the heading of an answer with code follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from operators.edit.text import closes_fence, fence_of

_NAMES: Final = (
    r"(?:ant)?think(?:ing)?|thoughts?|reason(?:ing)?(?:_content)?|reflection|reflect|scratch_?pad|analysis|"
    r"(?:inner|internal)_?(?:monologue|thoughts?|thinking|reasoning)|chain_?of_?thoughts?|cot|deliberation|"
    r"plan(?:ning)?|brainstorm(?:ing)?|draft|"
    r"(?:tool|function)_(?:response|results?|output)|environment_details"  # what a tool said, or was made to say
)
_PREFIX: Final = r"(?:[a-z_]{1,20}:|[a-z]{1,20}_(?=think))?"
_SUFFIX: Final = r"(?::[a-z_]{1,20}|_(?:process|trace|steps?|block|section|content|fast|faster|deep|mode|notes?))?"
_MARK: Final = re.compile(
    rf"(?=[<\[◁])(?:(?P<angle><\s{{0,3}}(?P<angle_end>/?)\s{{0,3}}{_PREFIX}(?:{_NAMES}){_SUFFIX}(?:\s[^<>\n]{{0,200}})?(?P<empty>/?)>)"
    rf"|(?P<bars><\|(?P<bars_end>/|end_(?:of_)?)?(?:start_|begin_)?(?:of_)?(?:{_NAMES})(?P<bars_behind>_end)?"
    r"(?:_start|_begin)?\|>)"
    rf"|(?P<square>(?<![\w)\]])\[(?P<square_end>/|end[ _]of[ _])?(?:(?:begin|start)[ _]of[ _])?(?:{_NAMES})\])"
    rf"|(?P<kimi>◁\s?(?P<kimi_end>/?)\s?(?:{_NAMES})\s?▷)"
    r"|(?P<gemma><\|channel>|(?P<gemma_end><channel\|>))"
    r"|(?P<unused><unused94>|(?P<unused_end><unused95>))"
    r"|(?P<details><details[^<>\n]{0,200}reasoning[^<>\n]{0,200}>|<details[^<>\n]{0,200}>\s{0,9}<summary>[^<>\n]{0,200}"
    r"(?:think|thought|reason)[^<>\n]{0,200}</summary>|(?P<details_end></details>)))",
    re.IGNORECASE,
)
_FAMILIES: Final = ("angle", "bars", "square", "kimi", "gemma", "unused", "details")
_ESCAPED_TAG: Final = re.compile(rf"&lt;(/?(?:\w{{1,20}}:)?(?:{_NAMES}))&gt;", re.IGNORECASE)
_FENCE_LABEL: Final = re.compile(rf"(?:{_NAMES}|chain-of-thought)", re.IGNORECASE)
_QUOTES: Final = frozenset("`'\"\\")

_HARMONY: Final = re.compile(
    r"<\|channel\|>[ \t]*(?P<channel>[a-z]*)(?P<more>[^<\n]{0,300}(?:<\|constrain\|>[^<\n]{0,100})?)(?:<\|message\|>)?"
    r"|<\|start\|>[^<\n]{0,100}(?:<\|message\|>)?|<\|(?:end|return|call)\|>",
    re.IGNORECASE,
)
_SHOWN_CHANNELS: Final = frozenset({"final", "commentary"})
_BARE_HARMONY: Final = re.compile(r"\s*analysis(?=[A-Z\"'(<])")
_FINAL: Final = re.compile(
    r"\[BEGIN FINAL RESPONSE\]|<\|begin_of_solution\|>|<\|START_RESPONSE\|>|^Here is my response:", re.MULTILINE
)
_TOLD: Final = re.compile(r"\s{0,99}Here (?:is my thought process|are my reasoning steps):")
_HEADING: Final = re.compile(
    r"(?:#{1,6}[ \t]{1,3}|(?=\*\*))\*{0,2}(?:"
    rf"(?P<draft>(?:my )?(?:{_NAMES}|thought process|first draft)(?: process)?)"
    r"|(?:the |my )?(?:final )?(?:answer|response|solution|edits?|changes?|code|implementation|patch|diff)"
    r"):?\*{0,2}:?[ \t]*",
    re.IGNORECASE,
)
_EDITS: Final = re.compile(r"^(?:```|~~~|<{5,}|@@|\*{3} Begin)", re.MULTILINE)
_FINAL_END: Final = re.compile(r"\[END FINAL RESPONSE\]|<\|end_of_solution\|>|<\|END_RESPONSE\|>")


def without_thinking(reply: str, known: Iterable[str] = ()) -> str:
    """Return a reply without the model's thinking.

    A section of thinking ends at its closing mark. Sections of one kind may be nested. A section that is never closed
    ends with the reply. A closing mark without an opening mark ends a section that began with the reply: templates
    cause this when they open the section for the model. A mark in quotes is only mentioned, and does not count.

    Args:
        reply: The model's answer.
        known: Lines of the file, which are always code.
    """
    text = _ESCAPED_TAG.sub(r"<\1>", reply) if "&lt;" in reply else reply
    text = _without_channels(text)
    text = _without_sections(text, known)
    return _final(_without_headed(_without_fences(text), known))


def _without_channels(text: str) -> str:
    """Keep the harmony channels that are meant for the user, or text outside of channels if there are none."""
    if match := _BARE_HARMONY.match(text):  # a detokenizer removed the marks: analysisHm.assistantfinalDeeper.
        _, mark, final = text[match.end() :].rpartition("assistantfinal")
        return final if mark else ""
    if "<|channel|>" not in text.lower():
        return text
    outside, shown, channel, position = list[str](), list[str](), "", 0
    for match in _HARMONY.finditer(text):
        _keep(text[position : match.start()], channel, outside, shown)
        position, name = match.end(), match["channel"]
        channel = "" if name is None else name.lower() or "unknown"
    _keep(text[position:], channel, outside, shown)
    return "\n".join(shown if any(part.strip() for part in shown) else outside)


def _keep(part: str, channel: str, outside: list[str], shown: list[str]) -> None:
    if not channel:
        outside.append(part)
    elif channel in _SHOWN_CHANNELS:
        shown.append(part)


def _without_sections(text: str, known: Iterable[str]) -> str:
    kept, position, family, depth = list[str](), 0, "", 0
    own: set[str] | None = None
    for match in _MARK.finditer(text):
        kind = next(each for each, text_of in zip(_FAMILIES, match.group(*_FAMILIES), strict=True) if text_of)
        ends = bool(match[f"{kind}_end"] or (kind == "bars" and match["bars_behind"]))
        if match["empty"] or _is_quoted(text, match, ends=ends):
            continue
        own = {line.strip() for line in known if _MARK.search(line)} if own is None else own
        if own and _line_around(text, match.start()) in own:
            continue
        if family and kind == family:
            depth += -1 if ends else 1
            if not depth:
                family, position = "", match.end()
        elif not family and not ends:
            kept.append(text[position : match.start()])
            family, depth = kind, 1
        elif not family and kind != "details":  # its opening mark is missing: all text before it was thinking
            kept.clear()
            position = match.end()
    return "\n".join(kept if family else [*kept, text[position:]])


def _is_quoted(text: str, match: re.Match[str], *, ends: bool) -> bool:
    if ends:  # a fence may follow immediately
        return text[match.end() : match.end() + 1] in _QUOTES and not text.startswith("```", match.end())
    return match.start() > 0 and text[match.start() - 1] in _QUOTES


def _line_around(text: str, place: int) -> str:
    start = text.rfind("\n", max(0, place - 500), place) + 1
    stop = text.find("\n", place, place + 500)
    return text[start : stop if stop >= 0 else place + 500].strip()


def _without_fences(text: str) -> str:
    """Leave out fences that are labelled as thinking, with the labelled fences inside them."""
    if "```" not in text and "~~~" not in text:
        return text
    lines = text.split("\n")
    kept, inside = list[str](), list[re.Match[str]]()
    answer: re.Match[str] | None = None  # the fence of the answer that holds this line
    for line in lines:
        fence = fence_of(line)
        if inside:
            _follow(fence, inside)
            continue
        if fence and answer is None and _FENCE_LABEL.fullmatch(fence["label"].strip()):
            inside.append(fence)
            continue
        if fence:
            answer = fence if answer is None else None if closes_fence(fence, answer) else answer
        kept.append(line)
    return "\n".join(kept)


def _follow(fence: re.Match[str] | None, inside: list[re.Match[str]]) -> None:
    if fence is None:
        return
    if closes_fence(fence, inside[-1]):
        inside.pop()
    elif fence["label"].strip():
        inside.append(fence)


def _without_headed(text: str, known: Iterable[str]) -> str:
    """Leave out what is below a heading such as `## Thinking`, up to that of the answer, if this has code."""
    lines, own = text.split("\n"), {line.strip() for line in known}
    answer: re.Match[str] | None = None
    draft = -1
    for place, line in enumerate(lines):
        fence = fence_of(line)
        if fence:
            answer = fence if answer is None else None if closes_fence(fence, answer) else answer
        heading = None if fence or answer else _HEADING.fullmatch(line)
        if not heading or line.strip() in own:
            continue
        if heading["draft"] and draft < 0 and (not line.startswith("# ") or not "".join(lines[:place]).strip()):
            draft = place
        elif not heading["draft"] and draft >= 0:
            rest = "\n".join(lines[place + 1 :])
            return "\n".join([*lines[:draft], rest]) if _EDITS.search(rest) else text
    return text


def _final(text: str) -> str:
    """Return the text after the mark of a final answer, if there is one."""
    marks: Sequence[re.Match[str]] = list(_FINAL.finditer(text))
    if not marks:
        return "" if _TOLD.match(text) else text
    return _FINAL_END.sub("\n", text[marks[-1].end() :])
