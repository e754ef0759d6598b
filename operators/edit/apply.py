"""Replaces blocks in a file, all of them or none, and leaves everything else unchanged."""

from __future__ import annotations

import difflib
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from operators.edit.elision import elision, is_elision, missing_code
from operators.edit.locate import (
    FORMS,
    AmbiguousError,
    Lines,
    find,
    fitted,
    to_code,
    to_trailing_space,
    to_typography,
    with_comments,
)
from operators.edit.nearest import nearest
from operators.edit.text import Block, EditError, split_lines

_SHOWN_PLACES: Final = 8
_BLOCKS: Final = 400
"""Largest number of edits in one answer."""
_FEWEST_LINES: Final = 2
"""Fewest lines of old text that show its place where blank lines do not count."""
_COMPARISONS: Final = 4_000_000
"""Largest number of pairs of lines for a comparison line by line."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to `stop` (counted from 0, exclusive) that become `new`."""

    start: int
    stop: int
    new: tuple[str, ...]


def apply_blocks(blocks: Sequence[Block], source: str) -> str:
    """Return a file with all blocks replaced; its other lines and its line endings stay unchanged.

    Every block is searched in the original file, and if it is not there, in the result of the other blocks.

    Raises:
        EditError: A block is not in the file, is there more than once, leaves code out or contradicts another block.
    """
    blocks = list(dict.fromkeys(blocks))
    if len(blocks) > _BLOCKS:
        raise EditError(f"an answer may hold {_BLOCKS} edits, got {len(blocks)}: write the whole file instead")
    lines = Lines(split_lines(source)[0])
    changes, late = dict[_Change, str](), list[tuple[str, Block]]()
    for number, whole in enumerate(blocks, start=1):
        name = f"{whole.kind} {number} of {len(blocks)}"
        for block in _parts(name, whole, lines.texts):
            found = _located(name, block, lines)
            if found is None:
                late.append((name, block))
            else:
                changes.update((change, changes.get(change, name)) for change in found)
    _refuse_overlaps(changes)
    result = _splice(source, changes, _final_newline(blocks))
    for name, block in late:
        changed = _located(name, block, Lines(split_lines(result)[0]))
        if changed is None:
            raise EditError(f"{name} is not in the file; {nearest(block.old, lines.texts)}")
        result = _splice(result, changed, _final_newline(blocks))
    return result


def _parts(name: str, block: Block, lines: Sequence[str]) -> list[Block]:
    """Return the parts of a block between lines such as `...`, which replace unchanged code in old and new text.

    Raises:
        EditError: It leaves code out in another way.
    """
    if elision((*block.old, *block.new), lines) is None:
        return [block]
    own = {line.strip() for line in lines}
    old, new, parts = list[str](), list[str](), list[Block]()
    for tag, i, j, k, m in _differences(block.old, block.new):
        for line in block.old[i:j] if tag == "equal" else ():
            if is_elision(line) and line.strip() not in own:
                parts.append(replace(block, old=tuple(old), new=tuple(new), line=None))
                old, new = [], []
            else:
                old.append(line)
                new.append(line)
        if tag != "equal":
            old += block.old[i:j]
            new += block.new[k:m]
    parts.append(replace(block, old=tuple(old), new=tuple(new), line=block.line if not parts else None))
    for part in parts:
        left_out = elision(part.old, lines) or missing_code(part.old, part.new, lines)
        if left_out is not None:
            raise EditError(f"{name} leaves code out ({left_out!r}), which would delete it: write every line out")
    return [part for part in parts if part.old != part.new or len(parts) == 1]


def _refuse_overlaps(changes: dict[_Change, str]) -> None:
    ordered = sorted(changes.items(), key=lambda pair: (pair[0].start, pair[0].stop))
    for (first, one), (second, other) in itertools.pairwise(ordered):
        if second.start < first.stop and one != other:
            raise EditError(f"{one} and {other} both change line {second.start + 1} of the file; merge them into one")


def _final_newline(blocks: Iterable[Block]) -> bool | None:
    return next((block.final_newline for block in blocks if block.final_newline is not None), None)


def _located(name: str, block: Block, lines: Lines) -> list[_Change] | None:
    """Return the changes of a block, or None if it is not in the file.

    Raises:
        EditError: It is in the file more than once, or has no old lines.
    """
    if not block.old or (block.partial and not any(line.strip() for line in block.old)):
        if lines.texts:
            raise EditError(f"{name} quotes no line of the file; quote the lines next to the place that you mean")
        return [_Change(0, 0, block.new)]
    if block.old == block.new and block.final_newline is None:
        return []  # models quote lines that they do not change
    found = _at_lines(name, block, lines, FORMS)
    if found is None and block.partial:
        found = _inside_lines(name, block, lines)
    if found is None:
        found = _at_lines(name, block, lines, (to_code,))
    return found if found is not None else _but_for_blank_lines(name, block, lines)


def _but_for_blank_lines(name: str, block: Block, lines: Lines) -> list[_Change] | None:
    """Return the change of a block whose old lines are in the file with fewer or more blank lines between them."""
    old = [line for line in block.old if line.strip()]
    kept = [number for number, text in enumerate(lines.texts) if text.strip()]
    if len(old) < _FEWEST_LINES:
        return None
    places = Lines([lines.texts[number] for number in kept]).places(old, to_trailing_space)
    if len(places) > 1:
        raise _ambiguous(name, [kept[place] for place in places])
    new = block.without_blank_ends().new
    return [_Change(kept[place], kept[place + len(old) - 1] + 1, new) for place in places] or None


def _at_lines(name: str, block: Block, lines: Lines, forms: Sequence[Callable[[str], str]]) -> list[_Change] | None:
    """Return the changes of a block whose old lines are in the file, as these forms compare them."""
    readings = (block, block.unescaped(), block.escaped_once())
    for variant in dict.fromkeys(each for one in readings for each in (one, one.without_blank_ends())):
        for form in forms if variant.old else ():
            try:
                places = find(variant, lines, form)
            except AmbiguousError as error:
                raise _ambiguous(name, error.places) from None
            if places:
                return [
                    change for place, meaning in places for change in _changes(variant, lines, place, meaning, form)
                ]
    return None


def _ambiguous(name: str, places: Sequence[int]) -> EditError:
    shown = ", ".join(str(place + 1) for place in places[:_SHOWN_PLACES])
    return EditError(f"{name} is in the file {len(places)} times, at lines {shown}; quote more lines around it")


def _inside_lines(name: str, block: Block, lines: Lines) -> list[_Change] | None:
    """Return the changes of a block whose old text is in the file, but not as whole lines."""
    text, wanted, wished = "\n".join(lines.texts), "\n".join(block.old), "\n".join(block.new)
    count = text.count(wanted) if wanted.strip() else 0
    if not count:
        return None
    if count > 1 and block.everywhere:
        return [_Change(0, len(lines.texts), tuple(text.replace(wanted, wished).split("\n")))]
    start = text.index(wanted)
    first = text.count("\n", 0, start)
    if count > 1:
        second = text.count("\n", 0, text.index(wanted, start + 1))
        raise _ambiguous(name, [first, second, *[second] * (count - 2)])
    last = first + len(block.old) - 1
    before = text[text.rfind("\n", 0, start) + 1 : start]
    behind = text[start + len(wanted) :].split("\n", 1)[0]
    return [_Change(first, last + 1, tuple(f"{before}{wished}{behind}".split("\n")))]


def _changes(
    block: Block, lines: Lines, place: int, meaning: dict[str, str], form: Callable[[str], str]
) -> list[_Change]:
    present = lines.texts[place : place + len(block.old)]
    changes = list[_Change]()
    for tag, i, j, k, m in _differences(block.old, block.new):
        if tag == "equal":
            continue  # line by line: lines common to old and new stay as in the file
        new = block.new[k:m]
        if form is to_code:
            new = tuple(with_comments(new, block.old[i:j], present[i:j]))
        fit = functools.partial(fitted, meaning=meaning, present=present, typographic=form is to_typography)
        changes.append(_Change(place + i, place + j, tuple(map(fit, new))))
    return changes


def _differences(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """Return difflib's operations from one list of lines to another; one replacement for large lists."""
    if len(old) * len(new) > _COMPARISONS:
        return [("replace", 0, len(old), 0, len(new))]
    return [*difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()]


def _splice(source: str, changes: Iterable[_Change], final_newline: bool | None) -> str:
    texts, endings = split_lines(source)
    ending = "\r\n" if endings.count("\r\n") > len(endings) / 2 else "\n"
    final = final_newline if final_newline is not None else not endings or endings[-1] != ""
    ordered = sorted(enumerate(changes), key=lambda pair: (pair[1].start, pair[1].stop, pair[0]), reverse=True)
    for _, change in ordered:  # from the end, so that the other places stay valid
        texts[change.start : change.stop] = change.new
        endings[change.start : change.stop] = [ending] * len(change.new)
    endings = [each or ending for each in endings]
    if endings and not final:
        endings[-1] = ""
    return "".join(text + end for text, end in zip(texts, endings, strict=True))
