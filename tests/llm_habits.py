"""The default answers of the scripted model: a small valid change, in the requested format."""

from __future__ import annotations

import hashlib
import random
import re
from typing import Final, Protocol

from operators.constants import perturb
from target.program.constants import Constant, Value, parse_constants

_PROGRAM: Final = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_QUICK: Final = re.compile(r"LR|BETA|MOMENTUM|DECAY|FRACTION|SCALE|SOFTCAP|BASE")
"""Constants that do not make a training slower."""


class Asked(Protocol):
    """What a habit needs of a request."""

    @property
    def text(self) -> str:
        """All that was said."""

    @property
    def repeats(self) -> int:
        """Earlier requests that said the same."""


def habit(request: Asked) -> str:
    """Change one constant of the program in the prompt; the same question asked again gets another answer.

    The answer has the first format that the prompt shows: SEARCH/REPLACE blocks, new values of constants, else the
    whole file in a fence.
    """
    source = program_in(request.text)
    if source is None:
        return "I see no program with constants, so I have nothing to change."
    digest = hashlib.sha256(f"{request.repeats} {request.text}".encode()).hexdigest()
    line, changed, why = _change(source, random.Random(digest))
    if "<<<<<<< SEARCH" in request.text:
        return f"{why}\n\n```\n<<<<<<< SEARCH\n{line}\n=======\n{changed}\n>>>>>>> REPLACE\n```\n"
    if "one line for each constant that changes" in request.text:
        return f"{why}\n\n```python\n{changed}\n```\n"
    return f"{why}\n\n```python\n{source.replace(line, changed, 1)}```\n"


def program_in(prompt: str) -> str | None:
    """Return the first fenced text of a prompt that is a program with constants."""
    for match in _PROGRAM.finditer(prompt):
        try:
            if parse_constants(match[2]) and "def build_model" in match[2]:
                return match[2]
        except (SyntaxError, ValueError):
            continue
    return None


def _change(source: str, rng: random.Random) -> tuple[str, str, str]:
    """Return a line of the program, the line in its place, and a reason."""
    constants = parse_constants(source)
    movable = [name for name, each in constants.items() if _moves(each)]
    names = [name for name in movable if _QUICK.search(name)] or movable
    name = rng.choice(sorted(names))
    value: Value = constants[name].value
    moved = perturb(constants[name], rng, 0.3)
    line = next(each for each in source.splitlines() if re.match(rf"{name}\b", each))
    changed = re.sub(r"(=\s*)[^#\s]+", lambda match: f"{match[1]}{moved!r}", line, count=1)
    return line, changed, f"{name} {value!r} -> {moved!r}: the present value may be too far from the optimum."


def _moves(constant: Constant) -> bool:
    return not constant.knob.fixed and isinstance(constant.value, float)
