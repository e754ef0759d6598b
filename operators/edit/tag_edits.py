"""Edits in tags: `<search>` and `<replace>`, `<old_str>` and `<new_str>`, `<parameter name="...">`, whole files."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.foreign import (
    EVERYWHERE,
    LINES,
    NEW,
    OLD,
    PATH,
    WHOLE,
    Foreign,
    edit_from,
    plain_name,
    refuse_line_numbers,
)
from operators.edit.text import EditError, quoted

_TAG: Final = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][\w.-]{0,40}(?::[\w.-]{1,40})?)(?:=(?P<value>[\w.-]{1,40}))?"
    r"(?P<more>\s[^<>\n]{0,300})?>"
)
_DEEPSEEK: Final = "\N{FULLWIDTH VERTICAL LINE}DSML\N{FULLWIDTH VERTICAL LINE}"
_ARGUMENT: Final = re.compile(r"<arg_key>(?P<name>[\w.-]{1,40})</arg_key>\s{0,9}<arg_value>")
_OPEN_PARAMETER: Final = re.compile(
    r"<parameter[=\s][^<>\n]{1,80}>(?:(?!</?parameter|</function>|</invoke>)[\s\S])*?"
    r"(?=\n\s*<parameter[=\s]|\n?\s*</(?:function|invoke)>)"
)
_ATTRIBUTE: Final = re.compile(r"(?P<name>[\w-]{1,40})\s{0,3}=\s{0,3}[\"'](?P<value>[^\"']{0,200})[\"']")
_PARAMETERS: Final = frozenset({"parameter", "param", "arg", "argument"})
_FILE_TAGS: Final = frozenset({"file", "createfile", "writefile", "boltaction", "newfile", "rewrite", "artifact"})
_TEXTS: Final = OLD | NEW | WHOLE | PATH | EVERYWHERE | _FILE_TAGS
_CALL_ENDS: Final = frozenset({"edit", "invoke", "toolcall", "replaceinfile", "applydiff", "change", "strreplace"})


def tag_edits(text: str) -> tuple[Foreign, str]:
    """Return the edits in tags in a text, and the text without them.

    Raises:
        EditError: An edit has two old or two new texts, or only one of both, or a line number instead of the old one.
    """
    if "</" not in text:
        return Foreign(), text
    reader = _Reader(_plain(text))
    reader.read()
    return reader.found, reader.rest()


class _Reader:
    """Goes through the tags of a text, and gathers the parts of the edit that they make up.

    Args:
        text: The text, with all tags in the usual form.
    """

    def __init__(self, text: str) -> None:
        self.found = Foreign()
        self._text = text
        self._tags = [(match, _name(match)) for match in _TAG.finditer(text)]
        self._ends = _ends(self._tags)
        self._kept, self._position = list[str](), 0
        self._said = dict[str, str]()  # the half of an edit that was read
        self._file: str | None = None
        self._everywhere = False
        self._begun = -1
        self._numbers = list[str]()  # names of line numbers since the last call began

    def read(self) -> None:
        """Read all edits."""
        index = 0
        while index < len(self._tags):
            match, name = self._tags[index]
            end = self._ends[index]
            begins = _begins(self._text, match.start())
            if match["end"]:
                self._close(name)
            elif end is not None and begins and name in _TEXTS | LINES and self._tag(index, end):
                index = end
            elif begins and (name in OLD or name in NEW):
                _refuse_half({name: match[0]})
            index += 1
        if self._said:
            _refuse_half(self._said)

    def rest(self) -> str:
        """Return the text without the edits."""
        return "".join([*self._kept, self._text[self._position :]])

    def _close(self, name: str) -> None:
        if name in _CALL_ENDS:
            self._numbers.clear()
            if self._said:
                _refuse_half(self._said)

    def _tag(self, index: int, end: int) -> bool:
        """Read one tag with its body; return whether it is a part of an edit."""
        (match, name), behind = self._tags[index], self._tags[end][0].end()
        body = _body(self._text[match.end() : self._tags[end][0].start()])
        attributes = _attributes(match)
        if name in _FILE_TAGS:
            named = (attributes[each] for each in attributes if each in PATH or each == "name")
            self._file = next(named, self._file)
        if name in LINES:
            self._numbers += [name] if body.strip().isdigit() else []
            return body.strip().isdigit()
        if name in PATH and "\n" not in body.strip() and len(body) < 300 and not attributes:
            self._file = body.strip()
        elif name in EVERYWHERE:
            self._everywhere = body.strip().lower() == "true"
        elif name in OLD or name in NEW:
            self._half(name, body, match.start(), behind)
        elif name in WHOLE or attributes:
            if name in _FILE_TAGS and any(_name_is_inside(self._tags[k][1]) for k in range(index + 1, end)):
                return False
            refuse_line_numbers([*self._numbers, name])
            self.found.files.append(body)
            self._cut(match.start(), behind)
        else:
            return False
        return True

    def _half(self, name: str, body: str, start: int, end: int) -> None:
        """Take an old or a new text, and make an edit of both."""
        if any(each in (OLD if name in OLD else NEW) for each in self._said):
            _refuse_half(self._said)
        self._said[name] = body
        self._begun = start if self._begun < 0 else self._begun
        if edit := edit_from(self._said, file=self._file, everywhere=self._everywhere):
            self.found.blocks.append(edit)
            self._cut(self._begun, end)
            self._said, self._begun, self._everywhere = {}, -1, False

    def _cut(self, start: int, end: int) -> None:
        self._kept += [self._text[self._position : start], "\n" * self._text.count("\n", start, end)]
        self._position = end


def _plain(text: str) -> str:
    """Return a text with its tags in the usual form.

    In those of DeepSeek and GLM the name of a parameter stands elsewhere. Qwen forgets `</parameter>` before the next
    parameter, or before the end of the call.
    """
    text = _ARGUMENT.sub(r"\n<parameter=\g<name>>", text.replace(_DEEPSEEK, ""))
    return _OPEN_PARAMETER.sub(r"\g<0></parameter>", text.replace("</arg_value>", "</parameter>"))


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
