"""The empty figure in which a picture is drawn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that needs no screen. The first call imports matplotlib, which takes a second.

    Args:
        width: Inches.
        height: Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Hydra shows what is logged as information, and a user's first search would say "generated new fontManager".
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
