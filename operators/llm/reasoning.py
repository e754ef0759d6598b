"""Finds a model's answer in the field for reasoning if the field for the answer is empty.

Some servers put whole answers there, and some models stop before they answer. Reasoning contains drafts, and a draft
that the model has rejected must not be built. So an edit counts only if it is the only one, at the end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from operators.edit.cleaning import cleaned
from operators.edit.marks import Mark, marks_of
from operators.edit.text import EditError, closes_fence, fence_of, file_named, split_lines
from operators.edit.thinking import without_thinking

_LABELLED: Final = re.compile(r"[\s>#*_-]*(?:change|hypothesis)[\s*_]*:.*", re.IGNORECASE)


class UnclearReasoningError(EditError):
    """Reasoning in which the answer cannot be distinguished from drafts."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the answer was reasoning only, and {why}: write it after the reasoning, as your answer, in the form "
            "that was asked for"
        )


def answer_in_reasoning(reasoning: str, source: str) -> str:
    """Return the part of a reasoning that is the answer: its only edits, which end it.

    Edits are SEARCH/REPLACE blocks and fences, except a fence that quotes the file. Edits next to each other belong
    together. The lines CHANGE and HYPOTHESIS may follow them.

    Args:
        reasoning: The reasoning.
        source: The present file.

    Raises:
        UnclearReasoningError: There is no such part.
    """
    lines = cleaned(without_thinking(cleaned(reasoning), split_lines(source)[0])).split("\n")
    edits = [*_edits(lines, source)]
    if not edits:
        raise UnclearReasoningError("there is no edit in it")
    if any(_is_prose(line) for (_, end), (start, _) in itertools.pairwise(edits) for line in lines[end:start]):
        raise UnclearReasoningError("it has several edits with words between them, which may be drafts")
    if not _only_labels(lines[edits[-1][1] :]):
        raise UnclearReasoningError("words follow its last edit, which may be a draft")
    return "\n".join(lines[edits[0][0] :])


def _edits(lines: Sequence[str], source: str) -> Iterator[tuple[int, int]]:
    """Yield the first line of each edit and the line after it."""
    marks = {number: mark for number, mark, _ in marks_of(lines)}
    number = 0
    while number < len(lines):
        end = number + 1
        if fence := fence_of(lines[number]):
            later = range(number + 1, len(lines))
            closing = (each for each in later if (mark := fence_of(lines[each])) and closes_fence(mark, fence))
            end = next(closing, len(lines)) + 1
            if "\n".join(lines[number + 1 : end - 1]).strip() not in source:
                yield number, min(end, len(lines))
        elif marks.get(number) is Mark.OPEN:
            closing = (each for each, mark in marks.items() if each > number and mark is Mark.CLOSE)
            end = next(closing, len(lines)) + 1
            yield number, min(end, len(lines))
        number = end


def _is_prose(line: str) -> bool:
    return bool(line.strip()) and file_named(line) is None


def _only_labels(lines: Sequence[str]) -> bool:
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
    return all(not paragraph or _LABELLED.match(paragraph) for paragraph in paragraphs)
