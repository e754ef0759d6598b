"""Infers from name and value how a constant without a knob comment may change: for programs not written for Graft."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[A-Z]+|\d+")
_COUNTED: Final = re.compile(r"DEPTHS?|(?:N|NUM)?(?:LAYERS|HEADS|BLOCKS|EXPERTS)|(?:N|NUM)(?:LAYER|HEAD|BLOCK|EXPERT)")
_NUMBER_OF: Final = frozenset({"N", "NUM", "NUMBER", "COUNT"})
_ONE: Final = frozenset({"LAYER", "HEAD", "BLOCK", "EXPERT"})
_SIZES: Final = frozenset({"DIM", "DIMS", "SIZE", "WIDTH", "LEN", "LENGTH", "TOKENS", "BYTES", "CHANNELS"})
_UNITS: Final = frozenset({"STEP", "STEPS", "ITERS", "ITERATIONS", "EPOCH", "EPOCHS", "LAYERS", "TOKENS"})
_MOST_COUNTED: Final = 256
_SHARES: Final = frozenset(
    {"FRAC", "FRACTION", "FRACTIONS", "SHARE", "PCT", "PORTION", "PROPORTION", "DROPOUT", "DROPPATH"}
    | {"PROB", "PROBS", "PROBABILITY", "SMOOTHING", "QUANTILE", "SHRINKAGE", "SPARSITY"}
)
_SAMPLED: Final = frozenset({"SUBSAMPLE", "COLSAMPLE", "BAGGING"})
_MOST_SAMPLED: Final = frozenset({"FEATURES", "SAMPLES"})  # with MAX, as scikit-learn has it
_LEAST_SAMPLED: Final = 0.05  # a part of the rows or columns is never none of them
_THRESHOLDS: Final = frozenset({"THRESH", "THRESHOLD", "CUTOFF"})
_OF_PROBABILITIES: Final = frozenset({"CONF", "CONFIDENCE", "PROB", "INFERENCE", "IOU", "NMS", "DECISION", "CLASS"})
_EXPLORED: Final = frozenset({"START", "END", "MAX", "MIN", "INIT", "FINAL", "GREEDY"})
_LEAST_EXPLORATION: Final = 0.01  # a smaller epsilon keeps a division from failing
_RATIOS: Final = frozenset({"RATIO", "RATIOS"})
_SCHEDULE: Final = frozenset({"WARMUP", "WARMDOWN", "COOLDOWN"})
_RATES: Final = frozenset({"LR", "RATE"})
_AVERAGES: Final = frozenset({"BETA", "BETAS", "MOMENTUM", "EMA", "POLYAK", "DISCOUNT"})
_DECAYS: Final = frozenset({"DECAY", "GAMMA", "LAMBDA"})
_MOMENTS: Final = frozenset({"START", "END", "STOP", "UNTIL"})  # as parts of a training
_LEAST_MOMENT: Final = 0.1  # smaller values begin or end something else, such as a rate
_NO_MOMENTS: Final = frozenset({"BETA", "SIGMA", "NOISE", "TEMPERATURE", "TEMP"})
_WEIGHTS: Final = frozenset({"WEIGHT", "WEIGHTS", "WD"})


Motion = tuple[float | None, float | None, str | None]
"""The smallest and the largest value, None if open, and the scale, None to infer it from the value."""


def is_share(name: str, value: float) -> bool:
    """Return whether a number is a share of a whole: its name says so, and it is from 0 to 1.

    Integers may be counts instead: steps of a warm-up, layers to drop, or anything with a ratio of 1.
    """
    words = words_of(name)
    if not 0 <= value <= 1 or words & _UNITS:
        return False
    is_float = isinstance(value, float)
    scheduled = bool(words & _SCHEDULE) and not words & _RATES
    if is_float and words & _MOMENTS and not words & (_RATES | _NO_MOMENTS) and value >= _LEAST_MOMENT:
        return True
    if is_float and "CLIP" in words and words & {"EPS", "EPSILON", "RANGE", "COEF"} and value > 0:
        return True
    if is_float and (_is_sampled(words) or (words & _THRESHOLDS and words & _OF_PROBABILITIES)):
        return value > 0
    explores = "EPSILON" in words or ("EPS" in words and words & _EXPLORED)
    if is_float and explores and value >= _LEAST_EXPLORATION:
        return True
    if words & _RATIOS:
        return is_float or value == 0 or bool(words & (_SCHEDULE | _RATES))
    return bool(words & _SHARES) or (is_float and (scheduled or "DROP" in words))


def motion_of(name: str, value: float) -> Motion:
    """Return how a number with this name and value may change.

    Counts of layers and heads change in steps of one. Shares of a whole stay between 0 and 1. So do decay rates of
    averages, which never reach 1.
    """
    words = words_of(name)
    if "PERCENTILE" in words and 0 <= value <= 100:
        return 0.0, 100.0, "linear"
    if isinstance(value, int):
        named = any(map(_COUNTED.fullmatch, words)) or (words & _ONE and words & _NUMBER_OF)
        return (1.0, None, "unit") if named and 0 < value <= _MOST_COUNTED and not words & _SIZES else (None,) * 3
    if is_share(name, value):
        return (min(_LEAST_SAMPLED, value / 4) if value and _is_sampled(words) else 0.0), 1.0, "share"
    slow = words & _DECAYS and not words & _WEIGHTS and value >= 0.9
    if (words & _AVERAGES or slow) and 0 <= value < 1:
        return (0.0, None, "average") if value >= 0.5 else (0.0, 1.0, "share")
    return None, None, None


def _is_sampled(words: set[str]) -> bool:
    """Return whether a name is that of a part of rows or columns: SUBSAMPLE, FEATURE_FRACTION, MAX_FEATURES."""
    if words & _SAMPLED or ("MAX" in words and words & _MOST_SAMPLED):
        return True
    return bool(words & {"FEATURE", "ROW", "COLUMN"}) and not words.isdisjoint({"FRACTION", "FRAC"})


def words_of(name: str) -> set[str]:
    """Return the words of a name: those between underscores."""
    return set(_WORDS.findall(name))
