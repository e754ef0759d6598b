"""A comparison in words and tables: Markdown, and a page that needs no other file."""

from __future__ import annotations

import base64
import math
import os
import statistics
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from search.compare.comparison import Arm, Comparison
from search.statistics import ALPHA, Interval, mean_interval
from search.views.text import escape_markdown
from target.metric import Metric

_MEANING: Final = (
    "Values are means of all trainings of the champion, corrected for their training seeds over all these searches "
    "together; {better}. Champions were chosen by the same trainings, so they look better than they are. {judged} "
    "The mean of best so far is the area under its curve over the trainings, divided by their number. "
    "Of two arms that end equal, the one with the better mean was sooner."
)


_ON_FRESH_SEEDS: Final = "Ranks and tests compare the champions on fresh seeds, where luck does not count."
_SELECTED: Final = (
    "If all searches have a check on fresh seeds (final.seeds=5, or graft final later), ranks and tests use that "
    "instead."
)


def render_markdown(
    comparison: Comparison, *, title: str, runs: Sequence[Path], skipped: Sequence[str], picture: Path | None
) -> str:
    """Return a comparison in Markdown.

    Args:
        comparison: The comparison.
        title: Title of the page.
        runs: Folders of the searches.
        skipped: What was left out, and why.
        picture: The PNG, in the same folder.
    """
    where = picture.name if picture else ""
    return _render("compare.md.j2", comparison, title, runs, skipped, where, html=False)


def render_page(
    comparison: Comparison, *, title: str, runs: Sequence[Path], skipped: Sequence[str], picture: Path | None
) -> str:
    """Return a comparison as an HTML page with the picture in it; arguments as in `render_markdown`."""
    inline = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}" if picture else ""
    links = [_report_of(run, picture.parent if picture else Path()) for run in runs]
    return _render("compare.html.j2", comparison, title, runs, skipped, inline, links=links, html=True)


def _report_of(run: Path, page: Path) -> str:
    """Return the address of a search's report, as seen from the folder of a page; empty if it has none."""
    report = run / "report.html"
    return urllib.parse.quote(os.path.relpath(report, page)) if report.is_file() else ""


def verdict_text(comparison: Comparison) -> str:
    """Return the result of a comparison in one sentence."""
    if comparison.refusals:
        return "Not ranked. These searches do not say which arm is better:"
    surely = [pair for pair in comparison.pairs if pair.p_holm <= ALPHA]
    if not surely:
        return (
            f"No difference between {len(comparison.arms)} arms is significant. That is not evidence that they are "
            "equal: see below what could have been detected."
        )
    first = comparison.arms[0]
    if first.ranks == (1, 1):
        return f"{first.label} is better than every other arm, significantly."
    return f"{len(surely)} of {len(comparison.pairs)} differences are significant; no arm is ahead of all others."


def power_text(comparison: Comparison) -> str:
    """Return the difference that a comparison could have found, and the number of seeds that are needed at least."""
    needed = (
        f"With {len(comparison.arms)} arms, at least {comparison.seeds_to_rank} seeds per arm are needed "
        "before any difference, however large, can be significant."
    )
    if comparison.seed_sd is None or comparison.detectable is None:
        return f"One seed does not show how far the seeds of an arm differ. {needed}"
    if not comparison.seed_sd:
        return f"All seeds of an arm ended equal, which does not show how far others may differ. {needed}"
    fewest, typical = min(len(arm.finals) for arm in comparison.arms), comparison.arms[0].finals[0]

    judged = "The results on fresh seeds" if comparison.is_fresh else "The finals"

    def shown(size: float) -> str:
        return comparison.metric.size_text(size, typical)

    sd, found = shown(comparison.seed_sd), shown(comparison.detectable)
    spread = f"{judged} of an arm's seeds have a standard deviation of {sd} (pooled over the arms)."
    if math.isinf(comparison.detectable):
        return f"{spread} {needed} With {fewest}, none could have been found."
    return (
        f"{spread} With {fewest} seeds per arm, a real difference of {found} would have been found in 4 of 5 "
        f"comparisons like this one; smaller ones would mostly be missed. {needed}{_unequal(comparison)}"
    )


def _unequal(comparison: Comparison) -> str:
    """Return what follows from unequal numbers of seeds; empty if all arms have as many."""
    numbers = [len(arm.finals) for arm in comparison.arms]
    if min(numbers) == max(numbers):
        return ""
    return (
        f" The arms have {min(numbers)} to {max(numbers)} seeds. If the arm with fewer seeds spreads more, its "
        "difference is called significant too often (docs/noise.md): give all arms the same number."
    )


def _render(
    template: str,
    comparison: Comparison,
    title: str,
    runs: Sequence[Path],
    skipped: Sequence[str],
    picture: str,
    *,
    links: Sequence[str] = (),
    html: bool,
) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search"),
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = escape_markdown
    typical = comparison.arms[0].finals[0]
    ranked, metric = not comparison.refusals, comparison.metric
    return environment.get_template(template).render(
        comparison=comparison,
        title=title,
        ranked=ranked,
        verdict=verdict_text(comparison),
        value=metric.name,
        meaning=_MEANING.format(better=metric.better, judged=_ON_FRESH_SEEDS if comparison.is_fresh else _SELECTED),
        fresh=comparison.is_fresh,
        judged="on fresh seeds" if comparison.is_fresh else "at the end",
        arms=[_row(arm, metric) for arm in comparison.arms],
        pairs=[
            {
                "arms": f"{pair.first} - {pair.second}",
                "difference": metric.delta_text(pair.difference, typical),
                "p": f"{pair.p:.2g}",
                "p_holm": f"{pair.p_holm:.2g}",
                "seeds": str(pair.seeds or ("thousands" if pair.difference else "")),
            }
            for pair in comparison.pairs
        ],
        power=power_text(comparison),
        ahead=[_ahead(arm) for arm in comparison.arms] if any(arm.staleness.mean for arm in comparison.arms) else [],
        picture=picture,
        runs=runs,
        links=links,
        skipped=skipped,
    )


def _row(arm: Arm, metric: Metric) -> dict[str, Any]:
    ends = sorted(arm.outcomes.items())
    failed = ", ".join(f"{count} {name}" for name, count in ends if name not in ("ok", "pruned"))
    rank = (
        "" if arm.ranks is None else str(arm.ranks[0]) if arm.ranks[0] == arm.ranks[1] else "{}–{}".format(*arm.ranks)
    )
    return {
        "label": arm.label,
        "rank": rank,
        "seeds": len(arm.finals),
        "final": _with_interval(statistics.fmean(arm.finals), arm.final, metric),
        "fresh": _with_interval(statistics.fmean(arm.fresh), mean_interval(arm.fresh), metric) if arm.fresh else "",
        "area": _with_interval(statistics.fmean(arm.areas), arm.area, metric),
        "failures": f"{100 * arm.failure_rate:.0f} %" + (f": {failed}" if failed else ""),
        "trainings": arm.trainings,
        "gpu_hours": f"{arm.gpu_hours:.1f}" if arm.gpu_hours >= 1 else f"{arm.gpu_hours:.2g}",
        "usd": f"{arm.usd:.2f}",
    }


def _ahead(arm: Arm) -> dict[str, str]:
    late = arm.staleness
    kept = {"fresh": late.fresh, "stale": late.stale, "reapplied": late.reapplied}
    return {
        "label": arm.label,
        "mean": "" if late.mean is None else f"{late.mean:.2f}",
        **{name: f"{each.kept} of {each.trained}" for name, each in kept.items()},
    }


def _with_interval(value: float, interval: Interval | None, metric: Metric) -> str:
    text = metric.size_text(metric.value(value), value)
    if interval is None or math.isinf(interval.low):
        return text
    low, high = (metric.size_text(end, value) for end in metric.ends((interval.low, interval.high)))
    return f"{text} [{low}, {high}]"
