"""The picture of a comparison: best so far against cost, and the result of each seed."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from search.compare.comparison import AXES, Axis, Comparison
from search.statistics import CONFIDENCE, mean_interval
from search.views.canvas import new_figure
from search.views.marks import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinguishable for colour-blind readers. Source: Okabe & Ito 2008, "Color universal design".
_DASHES: Final = ("-", "--", ":")
_LABEL_CHARACTERS: Final = 46


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """Draw a comparison and replace the file atomically.

    Raises:
        OSError: If the file cannot be written.
    """
    axes_drawn: list[Axis] = [axis for axis in AXES if all(axis in arm.curves for arm in comparison.arms)]
    n_panels = len(axes_drawn) + 1
    figure = new_figure(3.7 * n_panels, 4.0 + 0.12 * len(comparison.arms))
    panels = figure.subplots(1, n_panels, squeeze=False, sharey=True)[0]
    for panel, axis in zip(panels, axes_drawn, strict=False):
        _draw_curves(panel, comparison, axis)
    _draw_finals(panels[-1], comparison)
    metric = comparison.metric
    panels[0].set_ylabel(f"{metric.name} of the champion ({metric.better})".replace("$", r"\$"))
    _fit_height(panels[0], comparison)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower left", fontsize=9, frameon=False, ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        drawn = Path(folder) / path.name
        figure.savefig(drawn, format="png")
        drawn.replace(path)


def _draw_curves(panel: Axes, comparison: Comparison, axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    for index, arm in enumerate(comparison.arms):
        curve, colour = arm.curves[axis], SERIES[index % len(SERIES)]
        mean, low, high = (comparison.metric.values(each) for each in (curve.mean, curve.low, curve.high))
        dashes = _DASHES[index // len(SERIES) % len(_DASHES)]
        panel.step(
            curve.grid,
            mean,
            where="post",
            color=colour,
            ls=dashes,
            lw=1.8,
            label=f"{index + 1}  {_shorten(arm.label, len(arm.finals))}",
        )
        panel.fill_between(curve.grid, low, high, step="post", color=colour, alpha=0.13, lw=0)
    panel.set_xlabel(AXES[axis])
    panel.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))  # the next panel's 0 is near
    panel.set_xlim(0, max(arm.curves[axis].grid[-1] for arm in comparison.arms))
    panel.set_title(f"best so far: mean, {100 * CONFIDENCE:.0f} % interval", fontsize=9, loc="left")
    _clean(panel)


def _draw_finals(panel: Axes, comparison: Comparison) -> None:
    for index, arm in enumerate(comparison.arms):
        colour = SERIES[index % len(SERIES)]
        spread = [index + 0.12 * ((rank % 3) - 1) for rank in range(len(arm.finals))]
        metric = comparison.metric
        panel.scatter(spread, metric.values(sorted(arm.judged)), s=22, color=colour, alpha=0.75, lw=0, zorder=3)
        mean = metric.value(statistics.fmean(arm.judged))
        panel.plot([index - 0.3, index + 0.3], [mean, mean], color=colour, lw=2.2)
        if len(arm.judged) > 1:
            ends = metric.ends(mean_interval(arm.judged))
            panel.fill_between([index - 0.3, index + 0.3], *ends, color=colour, alpha=0.13, lw=0)
    panel.set_xticks(range(len(comparison.arms)), [str(index + 1) for index in range(len(comparison.arms))])
    panel.set_xlabel("arm")
    panel.set_xlim(-0.6, len(comparison.arms) - 0.4)
    when = "on fresh seeds" if comparison.is_fresh else "at the end"
    panel.set_title(f"{when}: every seed, mean, {100 * CONFIDENCE:.0f} % interval", fontsize=9, loc="left")
    _clean(panel)


def _fit_height(panel: Axes, comparison: Comparison) -> None:
    """Limit the axis to the range from the best final to the start of the curves."""
    curves = [curve for arm in comparison.arms for curve in arm.curves.values()]
    low = min(min(*arm.finals, *arm.judged) for arm in comparison.arms)
    high = max(
        max(max(*arm.finals, *arm.judged) for arm in comparison.arms), *(float(curve.mean[0]) for curve in curves)
    )
    margin = max(0.05 * (high - low), 1e-4)
    panel.set_ylim(*comparison.metric.ends((low - margin, high + margin)))


def _clean(panel: Axes) -> None:
    panel.grid(axis="y", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.ticklabel_format(axis="y", useOffset=False)
    panel.tick_params(labelsize=9)


def _shorten(label: str, n_seeds: int) -> str:
    text = label if len(label) <= _LABEL_CHARACTERS else f"{label[: _LABEL_CHARACTERS - 1]}…"
    return f"{text} ({n_seeds} seed{'s' * (n_seeds > 1)})".replace("$", r"\$")
