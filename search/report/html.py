"""report.html: the report with a chart, on one self-contained page that stays up to date while the search runs."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, Final

from operators.population import Population
from operators.prompts.tuner import constants_view
from operators.trial import Status, Trial
from search.champions import reigns
from search.composed import read_config
from search.errors import UserError
from search.figures import DELTA_HEADER, value_of
from search.noise import noise_of
from search.observer import Running
from search.printed import command, stored_arguments
from search.report.groups import causes, cost_sentence, groups
from search.report.page import facts_of
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.views.chart import chart_data, chart_point
from search.views.selfcontained import render_page
from search.views.text import in_words
from search.views.verdicts import description_of, one_line, score_range
from target.durations import duration
from target.metric import Metric
from target.regression.threads import one_thread

RELOAD_SECONDS: Final = 5.0  # after which the page of a running search reads itself again
_MOST_POINTS: Final = 3000  # with more, browsers would be slow
_MOST_CONSTANTS: Final = 8
_TITLE_CHARACTERS: Final = 160
_DIFF_LINES: Final = 600
_HEAD_BYTES: Final = 4096  # of the journal, which have the first proposal
_BEGUN: Final = re.compile(rb'"datetime_start":"([^"]+)"')
_SCRIPTS: Final = ("common.js", "chart.js", "report.js")


def render_report_page(
    population: Population, summary: Summary, run: RunDirectory, running: Sequence[Running] = ()
) -> str:
    """Return the page; all texts from models are escaped.

    Args:
        population: The trials.
        summary: State as of the last verdict.
        run: The folder of the search; what is missing there is left out.
        running: What is under way.
    """
    facts = facts_of(population, summary, run)
    metric: Metric = facts["metric"]
    noise, noise_words = _noise(population, run, metric)
    best = population.champion
    common, rare = causes(population)
    lines = facts.pop("diff").splitlines()
    return render_page(
        "report.html.j2",
        scripts=_SCRIPTS,
        payload=_payload(population, summary, noise, metric),
        **{**facts, "result": facts["result"].replace("**", "")},
        about=_about(summary, run),
        noise_words=noise_words,
        delta_header=DELTA_HEADER,
        running=[_under_way(work, population) for work in running],
        groups=groups(population),
        seconds=duration,
        in_words=in_words,
        causes=common,
        rare=rare,
        failed=sum(cause.count for cause in common) + rare,
        decided=len(population.decided),
        cost=cost_sentence(population, summary.cost_usd),
        tuner=_tuner(population, best),
        diff=[(_kind(line), line) for line in lines[:_DIFF_LINES]],
        more=max(0, len(lines) - _DIFF_LINES),
    )


def _payload(population: Population, summary: Summary, noise: float | None, metric: Metric) -> dict[str, Any]:
    decided = population.decided
    stride = 1 + sum(trial.status is Status.DISCARD for trial in decided) // _MOST_POINTS
    shown = [
        (rank, trial)
        for rank, trial in enumerate(decided)
        if trial.status is not Status.DISCARD or rank % stride == 0 or rank >= len(decided) - _MOST_POINTS // 2
    ]
    return {
        **chart_data(population, summary, metric, reload_seconds=RELOAD_SECONDS),
        "range": metric.ends(_range(population, noise)),
        "ranks": len(decided),
        "champions": [
            {"rank": reign.verdicts - 1, "value": metric.value(population.scores[reign.champion.number])}
            for reign in reigns(population)
        ],
        "noise": noise,
        "trials": [_point(rank, trial, population, metric) for rank, trial in shown],
    }


def _range(population: Population, noise: float | None) -> tuple[float, float]:
    """Return the interval to draw; the band of the noise must fit into it."""
    low, high = score_range(population)
    best = population.champion
    value = value_of(best, population) if best else None
    if best is None or value is None or noise is None:
        return low, high
    first = value_of(population.champions[0], population) or value
    return min(low, value - 1.3 * noise), max(high, first + 1.3 * noise)


def _point(rank: int, trial: Trial, population: Population, metric: Metric) -> dict[str, Any]:
    return {
        **chart_point(trial, rank, population, metric),
        "text": description_of(trial)[:_TITLE_CHARACTERS],
        "parents": [],
    }


def _noise(population: Population, run: RunDirectory, metric: Metric) -> tuple[float | None, str]:
    """Return half the width of the noise band, and what the page says about it."""
    band = "The band around the champion is one standard deviation of a training wide on each side"
    typical = population.scores[0] if population.champion else 0.0

    def shown(sd: float) -> str:
        return metric.size_text(sd, typical)

    if sd := population.noise_sd:
        return sd, f"{band}: {shown(sd)}, from the programs of this search that were trained on two or more seeds."
    if (noise := noise_of(run)) and noise.seed_sd:
        return (
            noise.seed_sd,
            f"{band}: {shown(noise.seed_sd)}, as `python -m search.noise` measured it on {noise.date}.",
        )
    return None, "There is no noise band, because no repeated training shows how much equal programs differ."


def _about(summary: Summary, run: RunDirectory) -> list[tuple[str, str]]:
    """Return name and text of what the search is: strategy, target, machine, date, command."""
    rows = [("strategy", f"{summary.strategy}, seed {summary.seed}")]
    try:
        config = read_config(run)
    except UserError:
        config = {}
    target = config.get("target")
    if isinstance(target, dict) and target.get("name"):
        rows.append(("target", one_line(str(target["name"]))))
    begun = _begun(run)
    rows += [("begun", begun)] if begun else []
    if run.arguments.exists():
        rows.append(("command", command("search", *stored_arguments(run, summary.name))))
    return rows


def _begun(run: RunDirectory) -> str:
    """Return when the search began, in local time; empty if the journal does not tell."""
    try:
        with run.journal.open("rb") as journal:
            found = _BEGUN.search(journal.read(_HEAD_BYTES))
        return f"{datetime.datetime.fromisoformat(found[1].decode()).astimezone():%Y-%m-%d %H:%M}" if found else ""
    except (OSError, ValueError):
        return ""


def _under_way(work: Running, population: Population) -> dict[str, Any]:
    known = work.number < len(population.trials)  # others were proposed since the last verdict
    return {
        "number": work.number,
        "stage": work.stage,
        "time": duration(work.seconds),
        "description": description_of(population.trials[work.number]) if known else "",
        "operator": population.trials[work.number].operator if known else "",
    }


def _tuner(population: Population, best: Trial | None) -> list[str]:
    """Return what the tuner's model says about the champion's constants, the most important ones; at first nothing."""
    if best is None:
        return []
    with one_thread():
        return constants_view(population, best)[:_MOST_CONSTANTS]


def _kind(line: str) -> str:
    return {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "")
