"""lineage.html: the parents of every trial and what each changed, on one self-contained page."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

from operators.population import Population
from operators.prompts.history import parents_of
from operators.trial import Trial
from search.figures import DELTA_HEADER, delta_of, meaning
from search.runs.sources import Edits, edits_between
from search.runs.summary import Summary
from search.views.chart import chart_data, chart_point
from search.views.selfcontained import render_page
from search.views.verdicts import ancestry, description_of, one_line, score_range
from target.metric import VAL_BPB, Metric

_RELOAD_SECONDS: Final = 30.0  # after which the page of a running search reads itself again
_LATEST_TRIALS: Final = 2000  # with more, browsers would be slow
_SOURCE_CHARACTERS: Final = 6_000_000  # of all programs; compressed, the page stays well below 5 MB
_TEXT_CHARACTERS: Final = 600
_SCRIPTS: Final = ("common.js", "chart.js", "diff.js", "lineage.js")


def render_lineage(population: Population, summary: Summary, metric: Metric = VAL_BPB) -> str:
    """Return a page with the tree and the list of the decided trials; of a long search, of the latest and best.

    Args:
        population: The trials.
        summary: State as of the last verdict.
        metric: What the target measures.
    """
    best = population.champion
    path = [step.trial.number for step in ancestry(best, population)] if best else []
    trials = _shown(population, set(path))
    payload = {
        **chart_data(population, summary, metric, reload_seconds=_RELOAD_SECONDS),
        "path": path,
        "range": metric.ends(score_range(population)),
        "ranks": len(trials),
        "trials": [_trial(trial, rank, population, metric) for rank, trial in enumerate(trials)],
        "sources": _sources(trials, population),
    }
    return render_page(
        "lineage.html.j2",
        scripts=_SCRIPTS,
        payload=payload,
        summary=summary,
        metric=metric,
        meaning=meaning(metric),
        delta_header=DELTA_HEADER,
        left_out=len(population.decided) - len(trials),
    )


def _shown(population: Population, path: set[int]) -> Sequence[Trial]:
    """Return the trials of the page: all, or in a long search the champions, the way to the best and the latest."""
    decided = population.decided
    kept = path | {trial.number for trial in population.champions}
    earlier = [trial for trial in decided[:-_LATEST_TRIALS] if trial.number in kept]
    return [*earlier, *decided[-_LATEST_TRIALS:]]


def _trial(trial: Trial, rank: int, population: Population, metric: Metric) -> dict[str, Any]:
    delta = delta_of(trial, population)
    return {
        **chart_point(trial, rank, population, metric),
        "amount": metric.value(delta.amount) if delta else None,
        "n": len(trial.values),
        "parents": parents_of(trial),
        "operator": one_line(trial.operator),
        "model": next((one_line(exchange.reply.model) for exchange in trial.exchanges), ""),
        "text": description_of(trial)[:_TEXT_CHARACTERS],
        "rationale": one_line(trial.mutation.rationale)[:_TEXT_CHARACTERS] if trial.mutation else "",
        "seconds": round(sum(run.train_seconds for run in trial.evaluations), 1),
        "cost": f"{trial.cost_usd:.4f}" if trial.cost_usd else "",
        "built": trial.program is not None,
    }


def _sources(trials: Sequence[Trial], population: Population) -> dict[int, str | dict[str, Any]]:
    """Return the programs by trial: the first as a text, each other one as edits of its parent's, or of the first one.

    Programs that would make the page too large are left out.
    """
    seed = population.trials[0] if population.trials else None
    if seed is None or seed.program is None:
        return {}
    whole: dict[int, str | dict[str, Any]] = {seed.number: seed.program.source}
    characters = len(seed.program.source)
    for trial in sorted(trials, key=lambda each: each.number):
        if trial.program is None or trial is seed:
            continue
        parent = population.trials[trial.proposal.parents[0]] if trial.proposal.parents else seed
        base = parent if parent.program and parent.number in whole else seed
        assert base.program is not None
        edits = _edits(base.program.source, trial.program.source)
        characters += sum(len(text) + 12 for _, _, text in edits)
        if characters > _SOURCE_CHARACTERS:
            break
        whole[trial.number] = {"of": base.number, "edits": edits}
    return whole


@functools.lru_cache(maxsize=2 * _LATEST_TRIALS)
def _edits(old: str, new: str) -> Edits:
    """Return the edits that make one program of another; they are the same each time that the page is written."""
    return edits_between(old, new)
