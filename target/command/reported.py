"""Reading a number that a program reports of itself, from its output or from a JSON file. Nobody has checked it."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any, Final

from target.evaluation import Outcome
from target.feedback import CandidateFailure, last_words
from target.process.runlog import LEFT_OUT

FILE_BYTES: Final = 1_000_000
MOST: Final = 1e15
"""Larger numbers measure nothing, and sums of their squares overflow."""

_FIGURES: Final = 100
_LINE_CHARACTERS: Final = 10_000  # of a progress line
_BREAKS: Final = re.compile(r"[\r\n]+")  # lines end with LF or CRLF, and progress is redrawn after a lone CR
_COLOURS: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# behind the value may stand a remark, but no second number: `1.1 -> 0.9` can be read in two ways
_FIGURE: Final = re.compile(r"\s*(?P<name>[A-Za-z_][\w.]*)\s*[:=]\s*(?P<value>\S+)(?:\s+[^\s\d+\-=/>→.,].*)?\s*")
_SEPARATORS: Final = re.compile(r"[|,;\t\]]|\s-\s")
_LEFT_OUT: Final = re.compile(rf"\n{LEFT_OUT}\n")


def figures_of_log(log: str) -> dict[str, str]:
    """Return the figures of a log by name, each as it stands there.

    A line of its own counts, `name: value` or `name = value`, with or without a remark behind it. Where no line of its
    own has the name, a part of a progress line does, as in `step 100 | val_bpb: 0.99 | best`. The last number counts; a
    word in its place, such as `n/a`, only where there is no number.
    """
    parts = [_BREAKS.split(part) for part in _LEFT_OUT.split(log)]
    for before, after in itertools.pairwise(parts):  # what was left out began and ended within lines
        before[-1] = after[0] = ""
    lines, pieces = dict[str, str](), dict[str, str]()
    for line in itertools.chain.from_iterable(parts):
        text = _COLOURS.sub("", line)
        if found := _FIGURE.fullmatch(text):
            _put(lines, found)
        elif len(text) <= _LINE_CHARACTERS:
            for piece in _SEPARATORS.split(text):
                if found := _FIGURE.fullmatch(piece):
                    _put(pieces, found)
    return {**pieces, **lines}


def _put(figures: dict[str, str], found: re.Match[str]) -> None:
    name, value = found["name"], found["value"].rstrip(",;")
    if number(value) is not None or number(figures.get(name)) is None:
        figures[name] = value


def figures_of_file(content: bytes | None, file: str) -> dict[str, Any]:
    """Return the members of the JSON object that a file holds.

    Args:
        content: What it holds; None if there is none.
        file: Its name.

    Raises:
        CandidateFailure: It is no JSON object.
    """
    if content is None:
        raise CandidateFailure(Outcome.CRASHED, f"metric: the command ended without having written {file}")
    if len(content) > FILE_BYTES:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} must be at most {FILE_BYTES} bytes")
    try:
        members = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise CandidateFailure(Outcome.CRASHED, f"metric: {file} must hold a JSON object, got {members!r:.100}")
    return members


def number_of(figures: dict[str, Any], name: str, *, place: str, above: float | None, log: str) -> float:
    """Return the figure that decides.

    Args:
        figures: What was reported.
        name: Its name.
        place: Where it was looked for, in words.
        above: It must be larger than this; None for no bound.
        log: The output, for its last words if there is no such figure.

    Raises:
        CandidateFailure: It is missing, no number, not finite, or too small to be true.
    """
    if name not in figures:
        said = last_words(log)
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: no {name!r} in {place}; the last output: {said or 'it printed nothing'}"
        )
    value = number(figures[name])
    if value is None:
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} must be a number, got {figures[name]!r:.100}"
        )
    if not math.isfinite(value):
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} is {value}: it diverged; take smaller steps, or look for 0/0"
        )
    if abs(value) > MOST:
        raise CandidateFailure(
            Outcome.CRASHED, f"metric: {name} in {place} must be at most {MOST:g}, got {value:g}: it diverged"
        )
    if above is not None and value <= above:
        raise CandidateFailure(Outcome.CRASHED, f"metric: {name} in {place} must be above {above:g}, got {value:g}")
    return value


def finite_figures(figures: dict[str, Any]) -> dict[str, float]:
    """Return those figures that are finite numbers, the first `_FIGURES` of them."""
    numbers = ((name[:100], number(value)) for name, value in figures.items())
    finite = [(name, value) for name, value in numbers if value is not None and abs(value) <= MOST]
    return dict(finite[:_FIGURES])


def number(value: Any) -> float | None:
    """Return a reported value as a number; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
