"""Ways to damage a reply, drawn by a seed: cut, doubled, marks, characters, lines, white space, encodings.

What befalls one line befalls a line without code: with a character of the new code changed, a line of it missing, or a
mark moved across it, a reply asks for another program, and no reader can know. What befalls all lines alike, such as a
cut or another encoding, befalls code too.
"""

from __future__ import annotations

import functools
import html
import json
import random
import re
import unicodedata
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

_MARK = re.compile(r"\s*(?:<{3,}|={3,}|>{3,}|```|~~~|@@|---|\+\+\+|\*\*\*|<|\[)")
_WORD = re.compile(r"\w+(?:\.\w+)?")
_SIGNS = "<>=-+`~*#|/\\[]{}\"' \tx0"
_LEAST_CHARACTERS = 6  # of a line of code that is looked for within lines of a reply


@dataclass(frozen=True)
class Intact:
    """A reply as it should have come.

    Attributes:
        text: The reply.
        parent: The program that it changes.
        right: The program that comes of it.
    """

    text: str
    parent: str
    right: str

    @functools.cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @functools.cached_property
    def without_code(self) -> list[int]:
        """Numbers of the lines in which no code stands: marks, labels, headers, prose."""
        return [number for number, line in enumerate(self.lines) if not self._has_code(html.unescape(line))]

    @property
    def has_signs_of_its_own(self) -> bool:
        """Whether the new code has characters that not every encoding has."""
        return not "".join(self._new_lines).isascii()

    @functools.cached_property
    def _new_lines(self) -> Set[str]:
        return {*self.right.split("\n")} - {*self.parent.split("\n")}

    @functools.cached_property
    def _program_lines(self) -> Set[str]:
        return {line.strip() for line in (*self.parent.split("\n"), *self.right.split("\n"))} - {""}

    @functools.cached_property
    def _squeezed(self) -> Set[str]:
        return {_squeezed(line) for line in self._program_lines} - {""}

    @functools.cached_property
    def _new_words(self) -> Set[str]:
        return {*_WORD.findall(self.right)} - {*_WORD.findall(self.parent)}

    def _has_code(self, line: str) -> bool:
        bare = _squeezed(line)
        return (
            line.strip() in self._program_lines
            or bare in self._squeezed
            or any(len(each) >= _LEAST_CHARACTERS and each in bare for each in self._squeezed)
            or any(len(each) > _LEAST_CHARACTERS // 2 and line.rstrip().endswith(each) for each in self._program_lines)
            or bool({*_WORD.findall(line)} & self._new_words)
        )


def _squeezed(line: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", line))


def cut(intact: Intact, rng: random.Random) -> str:
    """The end is missing, or the beginning."""
    place = rng.randrange(len(intact.text))
    return rng.choice([intact.text[:place], intact.text[place:]])


def doubled(intact: Intact, rng: random.Random) -> str:
    """The reply comes twice."""
    return intact.text + rng.choice(["", "\n", "\n\n"]) + intact.text


def hole(intact: Intact, rng: random.Random) -> str:
    """Lines that stand together are missing."""
    number = rng.choice(intact.without_code or [0])
    stop = number + 1
    while stop in intact.without_code and rng.random() < 0.5:
        stop += 1
    return "\n".join([*intact.lines[:number], *intact.lines[stop:]]) if intact.without_code else intact.text


def marks(intact: Intact, rng: random.Random) -> str:
    """A mark, or two, are written in another way."""
    lines = [*intact.lines]
    found = [number for number in intact.without_code if _MARK.match(lines[number])] or intact.without_code
    for _ in range(rng.choice([1, 1, 1, 2]) if found else 0):
        number = rng.choice(found)
        line = lines[number]
        one, other = rng.sample("<>=-+`~", 2)
        lines[number] = rng.choice(
            [line[1:], line[:-1], line[:1] + line, line + line[-1:], line.replace(one, other), line.swapcase(),
             f"\xa0{line} ", f"> {line}", f"\ufeff{line}\u200b", f"`{line}`", f"**{line}**", f"{line}\n{line}",
             f"    {line}", f"# {line}", f"{line.strip()} x"]
        )  # fmt: skip
    return "\n".join(lines)


def characters(intact: Intact, rng: random.Random) -> str:
    """Two neighbouring characters are swapped, or one is missing, too many or another."""
    lines = [*intact.lines]
    found = [number for number in intact.without_code if len(lines[number]) > 1]
    if not found:
        return intact.text
    number = rng.choice(found)
    line = lines[number]
    place = rng.randrange(len(line) - 1)
    head, one, two, tail = line[:place], line[place], line[place + 1], line[place + 2 :]
    sign = rng.choice(_SIGNS)
    lines[number] = head + rng.choice([two + one, two, one + sign + two, sign + two]) + tail
    return "\n".join(lines)


def whole_lines(intact: Intact, rng: random.Random) -> str:
    """A line is missing, comes twice, or changes places with its neighbour."""
    lines = [*intact.lines]
    if not intact.without_code:
        return intact.text
    number = rng.choice(intact.without_code)
    way = rng.choice(["missing", "twice", "swapped"])
    if way == "swapped" and number + 1 in intact.without_code:
        lines[number : number + 2] = lines[number + 1], lines[number]
    elif way == "twice":
        lines.insert(number, lines[number])
    else:
        del lines[number]
    return "\n".join(lines)


def white_space(intact: Intact, rng: random.Random) -> str:
    """Spaces at line ends, empty lines in between, all lines indented or quoted, marks indented."""
    lines = intact.lines
    ragged = [f"{' ' * rng.randrange(3)}{line}" if n in intact.without_code else line for n, line in enumerate(lines)]
    return "\n".join(
        rng.choice(
            [
                [line + rng.choice(["", " ", "\t", "  "]) for line in lines],
                [each for line in lines for each in (line, "")],
                [each for line in lines for each in ([line, ""] if rng.random() < 0.2 else [line])],
                [f"    {line}" for line in lines],
                [f"> {line}" for line in lines],
                ragged,
            ]
        )
    )


def encodings(intact: Intact, rng: random.Random) -> str:
    """The characters are those of another encoding, or of a program that means well."""
    text = intact.text
    losing = [text.encode().decode("latin-1"), text.encode().decode("cp1252", "replace"),
              text.encode("ascii", "replace").decode()]  # fmt: skip
    return rng.choice(
        [text.replace("\n", "\r\n"), text.replace("\n", "\r"), f"\ufeff{text}", unicodedata.normalize("NFD", text),
         html.escape(text), html.escape(html.escape(text)), text.replace('"', "“"), text.replace(" ", "\xa0"),
         text.replace("    ", "\xa0   "), text.replace("    ", "\t"), text.replace("-", "‑").replace("'", "’"),
         text.replace("\n", "\u200b\n"), text.replace("\n", "\\n"), json.dumps(text),
         *([] if intact.has_signs_of_its_own else losing)]
    )  # fmt: skip


Way = Callable[[Intact, random.Random], str]
WAYS: Sequence[Way] = (cut, doubled, hole, marks, marks, characters, whole_lines, white_space, encodings, encodings)
