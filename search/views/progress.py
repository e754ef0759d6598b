"""progress.png: the score of every trial, and how the champion improved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from operators.population import Population
from operators.trial import Status, Trial
from search.champions import reigns
from search.runs.files import replacing
from search.runs.summary import Summary
from search.views.canvas import new_figure
from search.views.marks import ABOVE, BLUE, GREEN, MARKS, Outline
from search.views.verdicts import description_of, score_range
from target.metric import VAL_BPB, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.markers import MarkerStyle

_LABELLED_KEEPS: Final = 10
_LABEL_CHARACTERS: Final = 44


def draw_progress(path: Path, population: Population, summary: Summary, metric: Metric = VAL_BPB) -> None:
    """Draw the scores of the trials in the order of their verdicts, and replace the file atomically.

    The first call imports matplotlib, which takes a second.

    Args:
        path: The PNG file.
        population: The trials; it may be empty.
        summary: Gives the title.
        metric: What the target measures.

    Raises:
        OSError: If the file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(10, 5.2)
    axes = figure.add_subplot()
    trials = population.decided
    axes.set_ylim(*metric.ends(score_range(population)))
    axes.set_xlim(-0.5, max(len(trials) - 0.5, 0.5))
    _draw_trials(axes, trials, population, metric)
    _draw_champions(axes, population, len(trials), metric)
    axes.set_title(_title(summary, metric), fontsize=11, loc="left", pad=14)
    axes.set_xlabel("verdict")
    axes.set_ylabel(_printable(f"{metric.name} ({metric.better})"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if trials:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png")


def _draw_trials(axes: Axes, trials: Sequence[Trial], population: Population, metric: Metric) -> None:
    scores = {number: metric.value(score) for number, score in population.scores.items()}
    worst = axes.get_ylim()[0 if metric.is_maximized else 1]
    for status in dict.fromkeys(trial.status for trial in trials):
        points = [(rank, scores.get(trial.number)) for rank, trial in enumerate(trials) if trial.status is status]
        scored = [(rank, value) for rank, value in points if value is not None]
        inside = [(rank, value) for rank, value in scored if metric.value(value) <= metric.value(worst)]
        above = [rank for rank, value in scored if metric.value(value) > metric.value(worst)]
        failed = [rank for rank, value in points if value is None]
        edge, mark = axes.get_xaxis_transform(), MARKS[status]
        label, order = f"{status.value} ({len(points)})", 4 if status is Status.KEEP else 3
        look: dict[str, Any] = {
            "s": 2.2 * mark.size**2,
            "color": mark.colour,
            "edgecolor": "#555555",
            "linewidth": 0.3,
            "zorder": order,
        }
        shape = _marker(mark.outline)
        if inside:
            ranks, values = zip(*inside, strict=True)
            axes.scatter(ranks, values, marker=shape, label=label, **look)
            label = ""
        if above:
            level = [0.985] * len(above)
            axes.scatter(above, level, marker=_marker(ABOVE), label=label, transform=edge, **look)
        if failed:
            level = [1.0] * len(failed)
            axes.scatter(failed, level, marker=shape, label=label, transform=edge, clip_on=False, **look)


def _marker(outline: Outline) -> MarkerStyle:
    """Return a shape for matplotlib, where y points up."""
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path as Corners

    return MarkerStyle(Corners([(x, -y) for x, y in outline], closed=False))


def _draw_champions(axes: Axes, population: Population, n_verdicts: int, metric: Metric) -> None:
    champions = [(reign.verdicts - 1, reign.champion) for reign in reigns(population)]
    if not champions:
        return
    ranks = [rank for rank, _ in champions]
    values = [metric.value(population.scores[trial.number]) for _, trial in champions]
    axes.step([*ranks, n_verdicts - 0.5], [*values, values[-1]], where="post", color=GREEN, lw=1.6)
    axes.axhline(values[0], color=BLUE, lw=1, ls="--", zorder=1)
    drops = {rank: abs(before - value) for rank, before, value in zip(ranks[1:], values, values[1:], strict=False)}
    labelled = sorted(drops, key=lambda rank: -drops[rank])[:_LABELLED_KEEPS]
    for (rank, trial), value in zip(champions, values, strict=True):
        if rank not in labelled:
            continue
        axes.annotate(
            _shorten(f"#{trial.number} {description_of(trial)}"),
            (rank, value),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=7,
            color="#35513d",
            rotation=24,
            parse_math=False,
            annotation_clip=True,
        ).set_in_layout(False)


def _title(summary: Summary, metric: Metric) -> str:
    title = f"{summary.name}: {summary.strategy}, {summary.trainings} trainings"
    if summary.baseline_val_bpb is None or summary.best_val_bpb is None:
        return _printable(title)
    first, best = summary.baseline_val_bpb, summary.best_val_bpb
    change = metric.delta_text(best - first, first)
    return _printable(f"{title}, {metric.name} {metric.text(first)} → {metric.text(best)} ({change})")


def _printable(text: str) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _shorten(text: str) -> str:
    return text if len(text) <= _LABEL_CHARACTERS else f"{text[: _LABEL_CHARACTERS - 1]}…"
