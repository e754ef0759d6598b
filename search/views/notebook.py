"""The live part of the console in a notebook: one output that is replaced, without terminal control characters."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console, RenderableType

COLUMNS: Final = 130
LINES: Final = 32
_REDRAW_SECONDS: Final = 1.0
_FRAME: Final = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:1.3;font-size:12px;'
    "font-family:Menlo,Consolas,'DejaVu Sans Mono',monospace\">{code}</pre>"
)


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook."""
    return Console().is_jupyter


def console_here() -> Console:
    """Return a console for standard output; in a notebook it writes plain text, whatever the kernel says of colours."""
    if not in_notebook():
        return Console(highlight=False)
    return Console(highlight=False, force_jupyter=False, force_terminal=False, width=COLUMNS, height=LINES)


class NotebookLive:
    """Takes the place of `rich.live.Live` in a notebook.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handle: Any = None
        self._drawn_at: float | None = None
        self._undrawn: RenderableType | None = None

    def start(self) -> None:
        """Begin; the output appears with the first drawing."""

    def update(self, view: RenderableType, *, refresh: bool = False) -> None:
        """Show a drawing, or keep it for later if the last one was just sent: browsers are slow."""
        del refresh
        self._undrawn = view
        if self._drawn_at is None or self._clock() - self._drawn_at >= _REDRAW_SECONDS:
            self._draw()

    def stop(self) -> None:
        """Show the last drawing, which stays."""
        self._draw()

    def _draw(self) -> None:
        if self._undrawn is None:
            return
        from IPython.display import HTML, display

        shown = HTML(as_html(self._undrawn))
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)
        self._undrawn, self._drawn_at = None, self._clock()


def as_html(view: RenderableType) -> str:
    """Return a drawing as HTML, with its colours."""
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, force_jupyter=False, highlight=False)
    console.print(view)
    return console.export_html(inline_styles=True, code_format=_FRAME)
