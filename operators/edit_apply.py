"""Finds blocks in a file and replaces them: exactly, else up to white space, else not at all."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from operators.edit_text import FILE, Block, EditError, elision, split_lines

_SHOWN_LINES: Final = 12
_SHOWN_PLACES: Final = 8
_CLOSE_LOOKS: Final = 5
_TAB_COLUMNS: Final = 4


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to `stop`, from 0 and exclusive, that become `new`."""

    start: int
    stop: int
    new: tuple[str, ...]


class _Ambiguous(Exception):  # noqa: N818 -- a finding on the way to an EditError
    """The old lines are in the file more than once, from these lines on, counted from 0."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.places = places


def apply_blocks(blocks: Sequence[Block], source: str) -> str:
    """Return a file with all blocks replaced, its other lines and its line endings left as they are.

    Every block is looked for in the file as it was; one that is not there, in what the others made of it.

    Raises:
        EditError: A block is not in the file, is there more than once, leaves code out or contradicts another one.
    """
    blocks = list(dict.fromkeys(blocks))
    lines, _ = split_lines(source)
    names = [f"{block.kind} {number} of {len(blocks)}" for number, block in enumerate(blocks, start=1)]
    changes, owners, late = list[_Change](), list[str](), list[tuple[str, Block]]()
    for name, block in zip(names, blocks, strict=True):
        _refuse_elisions(name, block, lines)
        found = _locate(name, block, lines)
        if found is None:
            late.append((name, block))
        else:
            changes += found
            owners += [name] * len(found)
    _refuse_overlaps(changes, owners)
    result = _splice(source, changes, _final_newline(blocks))
    for name, block in late:
        changed, _ = split_lines(result)
        found = _locate(name, block, changed)
        if found is None:
            raise EditError(f"{name} is not in {FILE}; {_nearest(block.old, lines)}")
        result = _splice(result, found, _final_newline(blocks))
    return result


def _refuse_elisions(name: str, block: Block, lines: Sequence[str]) -> None:
    left_out = elision((*block.old, *block.new), lines)
    if left_out is not None:
        raise EditError(f"{name} leaves code out ({left_out!r}), which would delete it: write every line out")


def _refuse_overlaps(changes: Sequence[_Change], owners: Sequence[str]) -> None:
    ordered = sorted(zip(changes, owners, strict=True), key=lambda pair: (pair[0].start, pair[0].stop))
    for (first, one), (second, other) in itertools.pairwise(ordered):
        if second.start < first.stop and one != other:
            raise EditError(f"{one} and {other} both change line {second.start + 1} of {FILE}; merge them into one")


def _final_newline(blocks: Iterable[Block]) -> bool | None:
    return next((block.final_newline for block in blocks if block.final_newline is not None), None)


def _locate(name: str, block: Block, lines: Sequence[str]) -> list[_Change] | None:
    """Return what a block changes, or None if it is not in the file.

    Raises:
        EditError: It is there more than once, or has no old lines.
    """
    if not block.old:
        if lines:
            raise EditError(f"{name} quotes no line of {FILE}; quote the lines next to the place that you mean")
        return [_Change(0, 0, block.new)]
    plain, escaped = block, block.unescaped()
    for variant in dict.fromkeys((plain, plain.without_blank_ends(), escaped, escaped.without_blank_ends())):
        for tolerate in (_exactly, _to_trailing_space, _to_white_space) if variant.old else ():
            try:
                found = _find(variant, lines, tolerate)
            except _Ambiguous as error:
                places = ", ".join(str(place + 1) for place in error.places[:_SHOWN_PLACES])
                raise EditError(
                    f"{name} is in {FILE} {len(error.places)} times, at lines {places}; quote more lines around it"
                ) from None
            if found is not None:
                return found
    return None


def _exactly(line: str) -> str:
    return line


def _to_trailing_space(line: str) -> str:
    return line.rstrip()


def _to_white_space(line: str) -> str:
    return " ".join(line.split())


def _find(block: Block, lines: Sequence[str], tolerate: Callable[[str], str]) -> list[_Change] | None:
    wanted, present = [tolerate(line) for line in block.old], [tolerate(line) for line in lines]
    size = len(wanted)
    places = [start for start in range(len(lines) - size + 1) if present[start : start + size] == wanted]
    indents = {place: _indents(block.old, lines[place : place + size]) for place in places}
    places = [place for place in places if indents[place] is not None]
    if len(places) > 1 and block.line is not None and block.line - 1 in places:
        places = [block.line - 1]
    if len(places) > 1:
        raise _Ambiguous(places)
    if not places:
        return None
    (place,) = places
    replaced = difflib.SequenceMatcher(None, block.old, block.new, autojunk=False).get_opcodes()
    return [  # line by line: what old and new share stays as the file has it
        _Change(
            place + old_start,
            place + old_stop,
            tuple(_indent_like(line, indents[place] or {}) for line in block.new[new_start:new_stop]),
        )
        for tag, old_start, old_stop, new_start, new_stop in replaced
        if tag != "equal"
    ]


def _indents(quoted: Sequence[str], present: Sequence[str]) -> dict[str, str] | None:
    """Return which indentation of the file each quoted one stands for; None if one stands for two."""
    meaning = dict[str, str]()
    for ours, theirs in zip(quoted, present, strict=True):
        if ours.strip() and meaning.setdefault(_indentation(ours), _indentation(theirs)) != _indentation(theirs):
            return None
    return meaning


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _indent_like(line: str, meaning: dict[str, str]) -> str:
    """Return a new line with the indentation that the file uses where the model quoted another one."""
    own = _indentation(line)
    if all(quoted == there for quoted, there in meaning.items()) or not line.strip():
        return line
    known = max((quoted for quoted in meaning if own.startswith(quoted)), key=len, default=None)
    if known is not None:
        deeper = own[len(known) :]
        if "\t" in deeper and not any("\t" in there for there in meaning.values()):
            deeper = deeper.replace("\t", meaning.get("\t") or " " * _TAB_COLUMNS)
        return meaning[known] + deeper + line.lstrip()
    shallowest = min(meaning, key=len)  # the line lies outside everything that was quoted
    return meaning[shallowest].removesuffix(shallowest.removeprefix(own)) + line[len(own) :]


def _splice(source: str, changes: Iterable[_Change], final_newline: bool | None) -> str:
    texts, endings = split_lines(source)
    ending = "\r\n" if endings.count("\r\n") > len(endings) / 2 else "\n"
    final = final_newline if final_newline is not None else not endings or endings[-1] != ""
    ordered = sorted(enumerate(changes), key=lambda pair: (pair[1].start, pair[1].stop, pair[0]), reverse=True)
    for _, change in ordered:  # from the end, so that the places of the others stay
        texts[change.start : change.stop] = change.new
        endings[change.start : change.stop] = [ending] * len(change.new)
    endings = [each or ending for each in endings]
    if endings and not final:
        endings[-1] = ""
    return "".join(text + end for text, end in zip(texts, endings, strict=True))


def _nearest(wanted: Sequence[str], lines: Sequence[str]) -> str:
    """Return the part of the file that is most like the wanted lines, as the end of a sentence."""
    size = max(1, min(len(wanted), len(lines)))
    words = Counter(word for line in wanted for word in line.split())
    shared = [
        (sum((words & Counter(word for line in lines[start : start + size] for word in line.split())).values()), -start)
        for start in range(len(lines) - size + 1)
    ]
    text = "\n".join(wanted)
    candidates = [-start for _, start in sorted(shared, reverse=True)[:_CLOSE_LOOKS]]
    if not candidates:
        return "the file is empty"
    ratios = {
        start: difflib.SequenceMatcher(None, text, "\n".join(lines[start : start + size]), autojunk=False).ratio()
        for start in candidates
    }
    start = max(candidates, key=lambda each: (ratios[each], -each))
    shown = lines[start : start + min(size, _SHOWN_LINES)]
    if len(shown) == 1:
        return f"nearest is line {start + 1}: {shown[0]!r}"
    return f"nearest are lines {start + 1} to {start + len(shown)}:\n" + "\n".join(shown)
