"""Edits in tags: `<search>` and `<replace>`, `<old_str>` and `<new_str>`, `<parameter name="...">`, whole files."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.foreign import EVERYWHERE, NEW, OLD, PATH, WHOLE, Foreign, edit_from, plain_name
from operators.edit.text import EditError, quoted

_TAG: Final = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][\w.-]{0,40}(?::[\w.-]{1,40})?)(?:=(?P<value>[\w.-]{1,40}))?"
    r"(?P<more>\s[^<>\n]{0,300})?>"
)
_DEEPSEEK: Final = "\N{FULLWIDTH VERTICAL LINE}DSML\N{FULLWIDTH VERTICAL LINE}"
_ARGUMENT: Final = re.compile(r"<arg_key>(?P<name>[\w.-]{1,40})</arg_key>\s{0,9}<arg_value>")
_ATTRIBUTE: Final = re.compile(r"(?P<name>[\w-]{1,40})\s{0,3}=\s{0,3}[\"'](?P<value>[^\"']{0,200})[\"']")
_PARAMETERS: Final = frozenset({"parameter", "param", "arg", "argument"})
_FILE_TAGS: Final = frozenset({"file", "createfile", "writefile", "boltaction", "newfile", "rewrite", "artifact"})
_TEXTS: Final = OLD | NEW | WHOLE | PATH | EVERYWHERE | _FILE_TAGS
_CALL_ENDS: Final = frozenset({"edit", "invoke", "toolcall", "replaceinfile", "applydiff", "change", "strreplace"})


def tag_edits(text: str) -> tuple[Foreign, str]:
    """Return the edits in tags in a text, and the text without them.

    Raises:
        EditError: An edit has two old or two new texts, or only one of both.
    """
    if "</" not in text:
        return Foreign(), text
    text = _plain(text)
    found, rest, position = Foreign(), list[str](), 0
    said, file, everywhere, begun = dict[str, str](), None, False, -1
    tags = [(match, _name(match)) for match in _TAG.finditer(text)]
    ends = _ends(tags)
    index = 0
    while index < len(tags):
        match, name = tags[index]
        end = ends[index]
        if match["end"] or name not in _TEXTS or end is None or not _begins(text, match.start()):
            if match["end"] and name in _CALL_ENDS and said:
                _refuse_half(said)
            if (name in OLD or name in NEW) and _begins(text, match.start()):
                _refuse_half({name: match[0]})
            index += 1
            continue
        body = _body(text[match.end() : tags[end][0].start()])
        attributes = _attributes(match)
        file = (
            next((attributes[each] for each in attributes if each in PATH or each == "name"), file)
            if (name in _FILE_TAGS)
            else file
        )
        if name in PATH and "\n" not in body.strip() and len(body) < 300 and not attributes:
            file = body.strip()
        elif name in EVERYWHERE:
            everywhere = body.strip().lower() == "true"
        elif name in OLD or name in NEW:
            if name in said or any(each in (OLD if name in OLD else NEW) for each in said):
                _refuse_half(said)
            said[name] = body
            begun = match.start() if begun < 0 else begun
            if edit := edit_from(said, file=file, everywhere=everywhere):
                found.blocks.append(edit)
                rest += [text[position:begun], "\n" * text.count("\n", begun, tags[end][0].end())]
                position, said, begun, everywhere = tags[end][0].end(), {}, -1, False
        elif name in WHOLE or attributes:
            if name in _FILE_TAGS and any(_name_is_inside(tags[k][1]) for k in range(index + 1, end)):
                index += 1
                continue
            found.files.append(body)
            rest += [text[position : match.start()], "\n" * text.count("\n", match.start(), tags[end][0].end())]
            position = tags[end][0].end()
        else:
            index += 1
            continue
        index = end + 1
    if said:
        _refuse_half(said)
    return found, "".join([*rest, text[position:]])


def _plain(text: str) -> str:
    """Return a text with the tags of DeepSeek and GLM in the usual form: a name of a parameter belongs to its tag."""
    text = _ARGUMENT.sub(r"\n<parameter=\g<name>>", text.replace(_DEEPSEEK, ""))
    return text.replace("</arg_value>", "</parameter>")


def _begins(text: str, place: int) -> bool:
    """Whether a tag is at the beginning of a line, or after another tag, and not in the middle of prose."""
    before = text[max(0, place - 80) : place].rstrip(" \t")
    return not before or before[-1] in ">\n"


def _name_is_inside(name: str) -> bool:
    return name in OLD or name in NEW or name in WHOLE or name == "diff"


def _refuse_half(said: dict[str, str]) -> None:
    name, body = next(iter(said.items()))
    raise EditError(
        f"the edit in tags has only {'an old text' if name in OLD else 'a new text'} ({name}: {quoted(body.strip())}): "
        "an edit needs both, first the present text and then its replacement"
    )


def _name(match: re.Match[str]) -> str:
    """Return the plain name of a tag; for `<parameter name="old_str">` and `<parameter=old_str>`, the parameter's."""
    name = plain_name(match["name"].rpartition(":")[2])
    if name not in _PARAMETERS or match["end"]:
        return name
    if match["value"]:
        return plain_name(match["value"])
    attributes = _attributes(match)
    return plain_name(attributes["name"]) if "name" in attributes else name


def _attributes(match: re.Match[str]) -> dict[str, str]:
    more = match["more"] or ""
    return {plain_name(each["name"]): each["value"] for each in _ATTRIBUTE.finditer(more)}


def _ends(tags: list[tuple[re.Match[str], str]]) -> list[int | None]:
    """Return for each tag the number of the next one that closes it."""
    ends, closing = list[int | None](), dict[str, int]()
    for index in range(len(tags) - 1, -1, -1):
        match, _ = tags[index]
        if match["end"]:
            closing[match["name"].lower()] = index
            ends.append(None)
        else:
            ends.append(closing.get(match["name"].lower()))
    return ends[::-1]


def _body(text: str) -> str:
    text = text.removeprefix("\n")
    stripped = text.rstrip(" \t")
    return stripped.removesuffix("\n") if stripped.endswith("\n") else text
