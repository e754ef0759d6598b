"""How every picture marks trials: the palette, and a colour and a shape for each status.

The colours are those of Okabe and Ito (2008, https://jfly.uni-koeln.de/color/), which people with any common form of
colour blindness can tell apart. Ends without a score also differ in shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from operators.trial import Status

BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#cc79a7"
ORANGE: Final = "#e69f00"
SKY: Final = "#56b4e9"
BLACK: Final = "#000000"
YELLOW: Final = "#f0e442"
GREY: Final = "#999999"

SERIES: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
"""The colours of curves, in order."""

Outline = tuple[tuple[float, float], ...]
"""Corners of a shape around (0, 0), in units of its size; y points down."""

_TURNS: Final = tuple(math.tau * step / 16 for step in range(16))
_CIRCLE: Final = tuple((round(math.cos(turn), 2), round(math.sin(turn), 2)) for turn in _TURNS)
_DIAMOND: Final = (0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)
_SQUARE: Final = (-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)
_DOWN: Final = (-1.1, -0.8), (1.1, -0.8), (0.0, 1.1)
_UP: Final = (-1.1, 0.8), (1.1, 0.8), (0.0, -1.1)
_HOURGLASS: Final = (-1.0, -1.0), (1.0, -1.0), (0.15, 0.0), (1.0, 1.0), (-1.0, 1.0), (-0.15, 0.0)
_DASH: Final = (-1.1, -0.35), (1.1, -0.35), (1.1, 0.35), (-1.1, 0.35)
_PLUS: Final = (
    (-0.3, -1.1), (0.3, -1.1), (0.3, -0.3), (1.1, -0.3), (1.1, 0.3), (0.3, 0.3),
    (0.3, 1.1), (-0.3, 1.1), (-0.3, 0.3), (-1.1, 0.3), (-1.1, -0.3), (-0.3, -0.3),
)  # fmt: skip
_CROSS: Final = tuple((round(0.71 * (x - y), 2), round(0.71 * (x + y), 2)) for x, y in _PLUS)


class Mark(NamedTuple):
    """How trials of a status are drawn.

    Attributes:
        colour: As in CSS.
        outline: The shape.
        size: Half of its width, in pixels.
    """

    colour: str
    outline: Outline
    size: float

    @property
    def path(self) -> str:
        """The shape as the `d` of an SVG path."""
        return "M" + "L".join(f"{x:g},{y:g}" for x, y in self.outline) + "Z"


MARKS: Final[Mapping[Status, Mark]] = {
    Status.PENDING: Mark(GREY, _CIRCLE, 3.0),
    Status.BASELINE: Mark(BLUE, _DIAMOND, 5.5),
    Status.KEEP: Mark(GREEN, _CIRCLE, 5.0),
    Status.DISCARD: Mark(GREY, _CIRCLE, 3.0),
    Status.PRUNED: Mark(SKY, _DOWN, 4.5),
    Status.CRASHED: Mark(VERMILION, _CROSS, 5.0),
    Status.OUT_OF_MEMORY: Mark(ORANGE, _SQUARE, 4.5),
    Status.TIMED_OUT: Mark(YELLOW, _HOURGLASS, 5.0),
    Status.NOT_BUILT: Mark(PURPLE, _DASH, 5.0),
    Status.REJECTED: Mark(BLACK, _PLUS, 4.5),
    Status.UNMEASURED: Mark(GREY, _DASH, 4.0),
}
ABOVE: Final = _UP
"""The shape of a score above the range that is drawn."""
