"""A search as a piece of HTML for a notebook: its gain, the way to the best program, and what changed."""

from __future__ import annotations

import base64
from html import escape

from operators.population import Population
from search.runs.rundir import RunDirectory, diff
from search.runs.summary import Summary
from search.views.verdicts import ancestry, description_of
from target.metric import Metric


def result_html(population: Population, summary: Summary, metric: Metric, run: RunDirectory) -> str:
    """Return the HTML: no scripts, and no styles that reach beyond it.

    Args:
        population: The trials.
        summary: State of the search.
        metric: What its target measures.
        run: Its folder, which may have a picture.
    """
    best = population.champion
    head = f"<b>{escape(summary.name)}</b>: {summary.status}"
    if summary.stop_reason:
        head += f" ({escape(summary.stop_reason)})"
    if best is None:
        return f"<div>{head}; the seed program has no score</div>"
    first = population.trials[0]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items())
    figures = (
        f"{escape(metric.name)} {metric.text(population.scores[0])} &rarr; "
        f"<b>{metric.text(population.scores[best.number])}</b> (trial #{best.number}); "
        f"{summary.trainings} trainings; {escape(counts)}"
    )
    parts = [f"<div>{head}<br>{figures}</div>", _picture(run)]
    if best.number and best.program and first.program:
        rows = "".join(
            f"<tr><td>#{step.trial.number}</td><td>{metric.text(population.scores[step.trial.number])}</td>"
            f"<td style='text-align:left'>{escape(description_of(step.trial))}</td></tr>"
            for step in ancestry(best, population)
            if step.trial.number in population.scores
        )
        title = f"<tr><th>trial</th><th>{escape(metric.name)}</th><th>what changed</th></tr>"
        patch = escape(diff(first.program, best.program, metric.file))
        parts += [f"<table>{title}{rows}</table>", f"<details><summary>diff</summary><pre>{patch}</pre></details>"]
    return "".join(parts)


def _picture(run: RunDirectory) -> str:
    try:
        data = base64.b64encode((run.root / "progress.png").read_bytes()).decode("ascii")
    except OSError:  # not drawn yet
        return ""
    return f"<img alt='every score' style='max-width:640px' src='data:image/png;base64,{data}'>"
