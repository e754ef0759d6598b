"""How a constant without a knob comment may move, by name and value: for programs that were not made for Graft."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[A-Z]+|\d+")
_COUNTED: Final = frozenset({"DEPTH", "LAYER", "LAYERS", "HEAD", "HEADS", "BLOCK", "BLOCKS", "EXPERTS"})
_SIZES: Final = frozenset({"DIM", "SIZE", "WIDTH", "LEN", "LENGTH", "TOKENS", "BYTES"})
_SHARES: Final = frozenset({"FRAC", "FRACTION", "RATIO", "DROPOUT", "PROB", "PROBABILITY"})
_AVERAGE: Final = re.compile(r"BETAS?\d?(?![A-Z])|MOMENTUM|EMA(?![A-Z])")
_MOST_COUNTED: Final = 256
_LARGEST_AVERAGE: Final = 0.9999  # at 1 nothing new is ever taken in


def is_left_alone(name: str, is_read: bool) -> bool:
    """Return whether a constant should not move: no line reads it, it is a seed, or it only scales a printed figure."""
    words = set(_WORDS.findall(name))
    return not is_read or bool(words & {"SEED", "FLOPS", "TFLOPS"})


def bounds_and_scale(name: str, value: float) -> tuple[float | None, float | None, str | None]:
    """Return the smallest and the largest value, None if open, and the scale, None to infer it from the value.

    Counts of layers and heads move by ones. Shares of a whole stay in [0, 1]; so do the decay rates of averages, which
    never reach 1.
    """
    words = set(_WORDS.findall(name))
    if isinstance(value, int):
        counted = 0 < value <= _MOST_COUNTED and words & _COUNTED and not words & _SIZES
        return (1, None, "unit") if counted else (None, None, None)
    if words & _SHARES and 0 <= value <= 1:
        return 0.0, 1.0, "linear"
    if _AVERAGE.search(name) and 0 <= value < 1:
        return 0.5 if value >= 0.5 else 0.0, _LARGEST_AVERAGE, "linear"
    return None, None, None
