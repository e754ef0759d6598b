"""The pages and pictures in the folder of a search, and when they are drawn: seldom, and while a slot trains.

Drawing takes longer than a verdict, so it must not come between two trainings. `report.html` is written from the first
verdict on and every few seconds; `progress.png` and `lineage.html` take longer and are drawn less often. In a long
search each takes seconds, so the time between two drawings grows with the CPU time that one takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from operators.population import Population
from search.observer import Running
from search.report import render_report_page, write_reports
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.tasks import Stage
from search.views.lineage import render_lineage

PAGE_SECONDS: Final = 5.0  # between two writings of the report
PICTURE_SECONDS: Final = 30.0  # between two drawings of the others, and of a report in which nothing has changed
_SHARE: Final = 0.015  # CPU seconds for each second, at most, for either
_YOUNG_SECONDS: Final = 2.0  # a training that began so recently hardly ends before a drawing does


class Pictures:
    """Draws the pages and pictures of a search.

    Args:
        run: Folder of the search.
        clock: Monotonic seconds.
    """

    def __init__(self, run: RunDirectory, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._next_page = clock()
        self._next_pictures = clock() + PICTURE_SECONDS
        self._shown: tuple[Population, Summary] | None = None
        self._written: object = None  # what the last report was about
        self._written_at = clock()
        self._drawn: set[str] = set()

    def recorded(self, population: Population, summary: Summary) -> None:
        """Take note of a verdict; draw only what is long overdue, because the trainings are too short to be seen."""
        self._shown = (population, summary)
        now = self._clock()
        if population.decided and now > self._next_page + 2 * PAGE_SECONDS:
            self._write_page(population, summary, ())
        if now > self._next_pictures + 2 * PICTURE_SECONDS:
            self._draw(population, summary)

    def tick(self, running: Sequence[Running]) -> None:
        """Draw what is due, if a training is under way that hardly ends before the drawing does."""
        if self._shown is None or not self._shown[0].decided:
            return
        oldest_seconds = max((each.seconds for each in running if each.stage == Stage.MEASURE), default=None)
        if oldest_seconds is None:
            return
        now, population, summary = self._clock(), *self._shown
        about = (len(population.decided), population.trainings, [(each.number, each.stage) for each in running])
        if now > self._next_page and (about != self._written or now > self._written_at + PICTURE_SECONDS):
            self._write_page(population, summary, running)
            self._written = about
        overdue_seconds = now - self._next_pictures
        if overdue_seconds > 0 and (oldest_seconds < _YOUNG_SECONDS or overdue_seconds > PICTURE_SECONDS):
            self._draw(population, summary)

    def finish(self, population: Population, summary: Summary) -> None:
        """Draw everything in its final state."""
        self._draw(population, summary)
        write_reports(population, summary, self._run)

    def _write_page(self, population: Population, summary: Summary, running: Sequence[Running]) -> None:
        began_cpu = time.process_time()
        page = render_report_page(population, summary, self._run, running)
        write_atomically(self._run.root / "report.html", page)
        self._written_at = self._clock()
        self._next_page = self._written_at + max(PAGE_SECONDS, self._pause_seconds("page", began_cpu))

    def _draw(self, population: Population, summary: Summary) -> None:
        from search.views.progress import (
            draw_progress,  # matplotlib takes a second to import: only when there is something to draw
        )

        began_cpu, metric = time.process_time(), self._run.metric
        try:
            draw_progress(self._run.root / "progress.png", population, summary, metric)
        except ModuleNotFoundError as error:  # matplotlib is missing, in a checkout that is not installed
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
        page = render_lineage(population, summary, metric)
        write_atomically(self._run.root / "lineage.html", page)
        self._next_pictures = self._clock() + max(PICTURE_SECONDS, self._pause_seconds("pictures", began_cpu))

    def _pause_seconds(self, kind: str, began_cpu: float) -> float:
        """Return how long to wait after a drawing; the first one of its kind took its time for imports."""
        first = kind not in self._drawn
        self._drawn.add(kind)
        return 0.0 if first else (time.process_time() - began_cpu) / _SHARE
