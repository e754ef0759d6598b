"""Reads a change of constants that a reply states in a sentence, such as `CHANGE: Increase LAYERS to 9`.

Small models write the line that says what they change, and stop. It counts only where the reply is complete and has no
edit of any kind, where the sentence says nothing else that would change the program, and where nothing in the reply
gives a constant another value: other sentences may tell of earlier trials, or of what the model does not want.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from operators.edit.values import constants_of, evaluated
from target.program.constants import Constant

_TICK: Final = r"[`*]{0,3}"
_LITERAL: Final = (
    r"[-+]?\d[\d_]*(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?\*\*\s?\d+)?(?![\w%/\u2012-\u2015-]|\.\d|,\d|\s?\*\*)|True|False|"
    r"[\"'][\w.+-]{1,40}[\"']"
)
_CHANGE: Final = re.compile(
    rf"{_TICK}(?P<name>[A-Z][A-Z0-9_]*(?:\[\d\])?){_TICK}(?:\s+(?:constant|value|parameter|knob))?"
    rf"(?:\s+from\s+{_TICK}(?P<old>{_LITERAL}){_TICK})?\s+to\s+{_TICK}(?P<new>{_LITERAL}){_TICK}"
)
_ASSIGNED: Final = re.compile(
    rf"{_TICK}(?P<name>[A-Z][A-Z0-9_]*)\s?=\s?(?P<old>{_LITERAL}){_TICK}\s+to\s+"
    rf"{_TICK}(?P=name)\s?=\s?(?P<new>{_LITERAL}){_TICK}"
)
"""`LAYERS = 8` to `LAYERS = 9`."""
_LABEL: Final = re.compile(r"[\s>#*_]*change[\s*_]*:[\s*_]*", re.IGNORECASE)
_WE: Final = r"(?:(?:i|we) (?:will|would|propose|suggest|recommend)(?: to)? |let's )?"
_PROPOSES: Final = re.compile(
    rf"(?:(?:in|on|at) line \d{{1,5}}[,:]?\s+)?{_WE}"
    r"(?P<verb>chang|increas|rais|decreas|reduc|lower|set|updat|doubl|halv|mov)(?:e|es|ing|ting)?\s+"
    rf"(?:the\s+)?(?:(?:value|constant|parameter|number)\s+(?:of\s+)?)?(?:the\s+)?(?={_TICK}[A-Z])",
    re.IGNORECASE,
)
_MORE: Final = ("increas", "rais", "doubl")
_LESS: Final = ("decreas", "reduc", "lower", "halv")
_REASON: Final = re.compile(
    r"(?:\s+[a-z]{3,12})?(?:\s+in\s+[`*]{0,3}[\w./]{1,80}\.py[`*]{0,3})?\s*"
    r"(?:$|(?:[,:;(]\s*)?(?:to|for|so|which|because|since|as|in order)\b.*|\.(?:\s+(?:this|it|that|these)\b.*)?)",
    re.IGNORECASE | re.DOTALL,
)
"""What may follow: a unit, and a reason."""
_ELSE: Final = re.compile(
    r"\b(?:not|never|or|instead|rather|if|unless|but|except|could|might|maybe|perhaps|was|were|had|did|earlier|previous(?:ly)?|already|trials?|"
    r"tried|before|gradually|linearly|during|between|per|also|add(?:s|ing)?|remov(?:e|ing)|introduc(?:e|ing)|us(?:e|ing)|with|replac(?:e|ing)|"
    r"switch(?:ing)?|set(?:ting)?|depend(?:s|ing))\b|n['’]t\b|\?",
    re.IGNORECASE,
)
"""Words of doubt, of earlier trials and of further changes."""
_AND: Final = re.compile(
    r"\s*,?\s*(?:and|,)\s+(?:(?:set|change|increase|decrease|reduce|raise|lower)\s+)?", re.IGNORECASE
)
_CHARACTERS: Final = 600


def values_in_sentences(prose: Sequence[str], source: str) -> str | None:
    """Return the values of constants that sentences change, as code; None if there are none.

    Args:
        prose: The lines of a complete reply that has no edit.
        source: The present file.
    """
    known = constants_of(source)
    meant, said = dict[str, str](), dict[str, set[str]]()
    for written in prose:
        line = _ASSIGNED.sub(r"\g<name> from \g<old> to \g<new>", written[: 4 * _CHARACTERS])
        for match in _CHANGE.finditer(line):
            said.setdefault(match["name"], set()).add(match["new"])
        if len(line) <= _CHARACTERS and (changes := _proposed(line.strip(), known)):
            if any(name in meant for name in changes):
                return None
            meant.update(changes)
    if not meant or any(len(said[name]) > 1 for name in meant):
        return None
    return "\n".join(f"{name} = {new}" for name, new in meant.items())


def _proposed(line: str, known: Mapping[str, Constant]) -> dict[str, str]:
    """Return the new values that a line proposes, if it says no more than these and a reason."""
    label = _LABEL.match(line)
    text = line[label.end() :] if label else line
    begins = _PROPOSES.match(text)
    if begins is None:
        return {}
    verb, place, found = begins["verb"].lower(), begins.end(), dict[str, str]()
    while match := _CHANGE.match(text, place):
        if not _agrees(match, verb, known, labelled=label is not None):
            return {}
        found[match["name"]] = match["new"]
        place = match.end()
        if (following := _AND.match(text, place)) and _CHANGE.match(text, following.end()):
            place = following.end()
        else:
            break
    rest = text[place:]
    return found if found and _REASON.fullmatch(rest) and not _ELSE.search(rest) and not _other(rest, found) else {}


def _agrees(match: re.Match[str], verb: str, known: Mapping[str, Constant], *, labelled: bool) -> bool:
    """Whether a change is one of the file as it is: from its value, or at least in the direction of the verb."""
    if match["name"] not in known or not (labelled or match["old"]):
        return False
    now, new = known[match["name"]].value, evaluated(match["new"])
    if new is None or (match["old"] and evaluated(match["old"]) != now):
        return False
    if isinstance(now, int | float) and isinstance(new, int | float):
        return not (verb in _MORE and new <= now) and not (verb in _LESS and new >= now)
    return isinstance(new, type(now))


def _other(rest: str, found: Mapping[str, str]) -> bool:
    """Whether a text names constants that are not changed."""
    return any(name not in found for name in re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", rest))
