"""lineage.html: the parents of every trial and what each changed, on one self-contained page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from operators.population import Population
from operators.prompts.history import parents_of
from operators.trial import Status, Trial
from search.figures import delta_text, value_text
from search.runs.rundir import diff
from search.runs.summary import Summary
from search.views.verdicts import (
    COLOURS,
    ancestry,
    description_of,
    one_line,
    score_range,
)

_LEFT: Final = 64
_RIGHT: Final = 24
_TOP: Final = 36
_BOTTOM: Final = 20
_HEIGHT: Final = 420
_FAILED_Y: Final = 14
_ABOVE_Y: Final = 32
_MIN_WIDTH: Final = 960
_TRIAL_WIDTH: Final = 18
_TICKS: Final = 6
_LABELLED_TRIALS: Final = 60  # with more, the numbers would cover the nodes
_LATEST_TRIALS: Final = 1000  # with more rows, browsers and the drawing would be slow
_DIFF_LINES: Final = 400
_RATIONALE_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes and positions in the drawing, in pixels."""

    width: int
    low: float
    high: float
    ranks: dict[int, int]
    scores: Mapping[int, float]

    def x(self, number: int) -> float:
        usable = self.width - _LEFT - _RIGHT
        return round(_LEFT + usable * (self.ranks[number] + 0.5) / max(len(self.ranks), 1), 1)

    def y(self, number: int) -> float:
        if number not in self.scores:
            return _FAILED_Y
        return _ABOVE_Y if self.scores[number] > self.high else self.level(self.scores[number])

    def level(self, val_bpb: float) -> float:
        fraction = (self.high - val_bpb) / (self.high - self.low)
        return round(_TOP + 10 + fraction * (_HEIGHT - _TOP - 10 - _BOTTOM), 1)


def render_lineage(population: Population, summary: Summary) -> str:
    """Return a page with the tree of the decided trials and a table of them; of a long search, of the latest and best.

    It loads nothing from elsewhere and runs no script; all text from models is escaped.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    best = population.champion
    path = {step.trial.number for step in ancestry(best, population)} if best else set()
    trials = _shown(population, path)
    low, high = score_range(population)
    width = max(_MIN_WIDTH, _LEFT + _RIGHT + _TRIAL_WIDTH * len(trials))
    layout = _Layout(width, low, high, {trial.number: rank for rank, trial in enumerate(trials)}, population.scores)
    counts = Counter(trial.status for trial in population.decided)
    return environment.get_template("lineage.html.j2").render(
        summary=summary,
        width=width,
        height=_HEIGHT,
        left=_LEFT,
        ticks=_ticks(layout) if population.scored else [],
        edges=_edges(trials, layout, path),
        nodes=[_node(trial, layout, best, len(trials)) for trial in trials],
        legend=[{"status": s.value, "colour": COLOURS[s], "count": counts[s]} for s in Status if counts[s]],
        rows=[_row(trial, population, best) for trial in trials],
        left_out=len(population.decided) - len(trials),
    )


def _shown(population: Population, path: set[int]) -> Sequence[Trial]:
    """Return the trials of the page: all, or in a long search the champions, the way to the best and the latest."""
    decided = population.decided
    kept = path | {trial.number for trial in population.champions}
    earlier = [trial for trial in decided[:-_LATEST_TRIALS] if trial.number in kept]
    return [*earlier, *decided[-_LATEST_TRIALS:]]


def _ticks(layout: _Layout) -> list[dict[str, Any]]:
    """Return the horizontal lines, at multiples of 1, 2 or 5 times a power of ten."""
    raw = (layout.high - layout.low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(layout.low / step)
    values = [step * index for index in range(first, math.floor(layout.high / step) + 1)]
    return [{"y": layout.level(value), "label": f"{value:.6g}"} for value in values]


def _edges(trials: Sequence[Trial], layout: _Layout, path: set[int]) -> list[dict[str, Any]]:
    edges = []
    for trial in trials:
        for index, number in enumerate(parents_of(trial)):
            if number not in layout.ranks:
                continue
            x1, x2 = layout.x(number), layout.x(trial.number)
            edges.append(
                {
                    "x1": x1,
                    "y1": layout.y(number),
                    "x2": x2,
                    "y2": layout.y(trial.number),
                    "middle": round((x1 + x2) / 2, 1),
                    "best": trial.number in path and index == 0,
                }
            )
    return sorted(edges, key=lambda edge: bool(edge["best"]))


def _node(trial: Trial, layout: _Layout, best: Trial | None, n_trials: int) -> dict[str, Any]:
    value = layout.scores.get(trial.number)
    score = trial.status.value if value is None else f"{trial.status.value} {value:.4f}"
    return {
        "number": trial.number,
        "x": layout.x(trial.number),
        "y": layout.y(trial.number),
        "shape": "failed" if value is None else "above" if value > layout.high else "scored",
        "colour": COLOURS[trial.status],
        "best": best is not None and trial.number == best.number,
        "labelled": trial.status in (Status.BASELINE, Status.KEEP) or n_trials <= _LABELLED_TRIALS,
        "title": f"#{trial.number} {score}: {description_of(trial)}",
    }


def _row(trial: Trial, population: Population, best: Trial | None) -> dict[str, Any]:
    parents = parents_of(trial)
    parent = population.trials[parents[0]] if parents else None
    return {
        "number": trial.number,
        "status": trial.status.value,
        "colour": COLOURS[trial.status],
        "best": best is not None and trial.number == best.number,
        "val_bpb": value_text(trial, population),
        "n": len(trial.values) or "",
        "delta": delta_text(trial, population),
        "parents": parents,
        "operator": trial.operator,
        "description": description_of(trial),
        "rationale": one_line(trial.mutation.rationale)[:_RATIONALE_CHARACTERS] if trial.mutation else "",
        "diff": _diff(trial, parent),
    }


def _diff(trial: Trial, parent: Trial | None) -> list[dict[str, str]]:
    if not (parent and parent.program and trial.program):
        return []
    lines = diff(parent.program, trial.program).splitlines()
    kinds = {"+": "add", "-": "del"}
    shown = [{"kind": kinds.get(line[:1], ""), "text": line} for line in lines[:_DIFF_LINES]]
    if len(lines) > _DIFF_LINES:
        shown.append({"kind": "", "text": f"... {len(lines) - _DIFF_LINES} more lines: see diff.patch of the trial"})
    return shown
