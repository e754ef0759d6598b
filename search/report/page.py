"""report.md: what a search found and how far to believe it. `python -m search.report outputs/NAME` writes it anew."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from operators.population import Population
from operators.trial import Status, Trial
from search.figures import delta_of, delta_text, difference, meaning, value_text
from search.final.report import read_final, verdict_sentence
from search.noise import Noise, how_certain, in_sds, noise_of
from search.prompt.table import prompt_rows, prompt_table
from search.runs.rundir import RunDirectory, diff
from search.runs.summary import Summary
from search.transfer.text import transfers_of
from search.views.text import counted, escape_markdown, in_words
from search.views.unverified import has_holdout, unverified_caveats
from search.views.verdicts import Step, ancestry, description_of
from target.durations import duration
from target.metric import VAL_BPB, Metric

_TIES: Final = 12  # that are named
_FILES: Final = (
    ("results.tsv", "one row per decided trial"),
    ("report.html", "this report with a chart, for a browser"),
    ("progress.png", "every score, and how the champion improved"),
    ("lineage.html", "the parents of every trial, with its diff"),
    ("summary.json", "the end state, for programs"),
    ("final.json", "best and baseline on fresh seeds"),
    ("environment.json", "what it ran on"),
    ("journal.log", "the ledger"),
)


def render_report(population: Population, summary: Summary, run: RunDirectory) -> str:
    """Return a report in Markdown; text from models is escaped."""
    import jinja2

    environment = jinja2.Environment(  # no HTML escapes: this is Markdown, escaped by the filters below
        loader=jinja2.PackageLoader("search"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"text": escape_markdown, "code": _code}
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    facts = facts_of(population, summary, run)
    return environment.get_template("report.md.j2").render(
        **facts,
        prompts=prompt_table(prompt_rows([population])),
        fence="`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", facts["diff"])), default=0)),
        files=[{"path": run.root / name, "what": what} for name, what in _files(run, population.champion)],
    )


def facts_of(population: Population, summary: Summary, run: RunDirectory) -> dict[str, Any]:
    """Return what report.md and report.html both say, as variables of their templates."""
    best = population.champion
    final = _final(run, best)
    steps = ancestry(best, population) if best else []
    metric = run.metric
    return {
        "summary": summary,
        "counted": counted,
        "metric": metric,
        "result": _result(population, metric),
        "belief": _belief(population, noise_of(run), metric),
        "ties": _ties(population, metric),
        "pruning": _pruning(summary),
        "final": final,
        "transfers": transfers_of(run, best, metric),
        "outcomes": ", ".join(f"{count} {in_words(name)}" for name, count in summary.outcomes.items()) or "none yet",
        "wall": duration(summary.wall_seconds),
        "device": duration(summary.gpu_seconds),
        "steps": [_step(step, population, metric) for step in steps],
        "constants": _constants(steps),
        "meaning": meaning(metric),
        "diff": _patch(steps, metric.file),
        "caveats": [*unverified_caveats(population), *_caveats(run, population, best, final)],
    }


def _result(population: Population, metric: Metric) -> str:
    best = population.champion
    if best is None or best.score is None:
        first = next(iter(population.decided), None)
        if first is None:
            return "**No result**: the seed program has no score yet."
        return f"**No result**: the seed program has no score ({in_words(first.status)}); trials/0000 has its log."
    if best.number == 0:
        value = value_text(best, population, metric)
        return f"**No improvement** over the baseline: {metric.name} {value} ({metric.better})."
    first = population.trials[0]
    scores = f"{metric.name} {value_text(first, population, metric)} → {value_text(best, population, metric)}"
    change = _signed(difference(best, first, population), best, population, metric)
    return f"**{scores}** ({metric.better}), trial #{best.number}; difference {change}."


def _ties(population: Population, metric: Metric) -> str:
    """Return what `acceptance.prefer` decided; empty if it decided nothing."""
    ties = [trial for trial in population.decided if trial.tie]
    kept, discarded = ([trial for trial in ties if (trial.status is Status.KEEP) == wins] for wins in (True, False))
    best = min(population.champions, key=lambda each: population.scores[each.number], default=None)
    if best is None or not ties:
        return ""
    text = f"kept although the score was not better: {_numbers(kept)}; discarded although it was: {_numbers(discarded)}"
    loss = difference(population.champion, best, population) if population.champion else None
    if not loss:
        return text
    size = metric.size_text(loss, population.scores[best.number])
    return f"{text}. The champion is {size} worse than #{best.number}, the best score of a champion"


def _numbers(trials: Sequence[Trial]) -> str:
    shown = ", ".join(f"#{trial.number}" for trial in trials[:_TIES])
    more = len(trials) - _TIES
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _pruning(summary: Summary) -> str:
    """Return what pruning saved, and what the audits say about its mistakes; empty if no training failed a check."""
    if not summary.pruned + summary.audited:
        return ""
    audits = "none that was to be stopped has been audited, so nothing is known about false prunes"
    if summary.audited:
        rate = summary.false_prunes / summary.audited
        audits = (
            f"of {summary.audited} that were to be stopped and ran on as an audit, {summary.false_prunes} ended better "
            f"than the champion: an observed false-prune rate of {rate:.0%}"
        )
    return f"trainings stopped early: {summary.pruned}, {duration(summary.saved_seconds)} saved; {audits}"


def _belief(population: Population, noise: Noise | None, metric: Metric) -> str:
    """Return how far to believe the result, judged by repeated trainings."""
    best = population.champion
    if best is None or best.number == 0:
        return ""
    (mean, error), (first, first_error) = (population.posterior[number] for number in (best.number, 0))
    sentences = []
    if math.isfinite(error):
        sentences.append(
            f"Posterior mean and standard error: the best {metric.text(mean)} ± {metric.size_text(error, mean)}, the "
            f"baseline {metric.text(first)} ± {metric.size_text(first_error, first)}: the difference is "
            f"{metric.delta_text(mean - first, first)} ± {metric.size_text(math.hypot(error, first_error), first)}."
        )
    gain = difference(best, population.trials[0], population)
    if noise and noise.seed_sd and gain is not None:
        sentences.append(
            f"The gain is {in_sds(-gain, noise)} of a single training (sd {noise.seed_sd:.4f} between {noise.n_seeds} "
            f"seeds, measured on {noise.date} on this machine; {how_certain(noise)}). By luck alone a search of 120 "
            "trainings with the default rule shows 1.7 sd, and one in twenty more than 3 (docs/noise.md)."
        )
    return " ".join(sentences)


def _final(run: RunDirectory, best: Trial | None) -> dict[str, Any] | None:
    """Return the final report on this champion, if there is one; a new champion needs a new report."""
    report, _ = read_final(run)
    if report is None or best is None or best.program is None or best.program.id != report.program_id:
        return None
    texts = {"validation": report.val, "holdout": report.holdout}
    rows = [{"text": name, **asdict(each)} for name, each in texts.items() if each]
    return {"sentence": verdict_sentence(report), "rows": rows, "report": report}


def _step(step: Step, population: Population, metric: Metric) -> dict[str, Any]:
    trial = step.trial
    return {
        "number": trial.number,
        "status": trial.status.value,
        "value": value_text(trial, population, metric),
        "n": len(trial.values),
        "delta": delta_text(trial, population, metric),
        "error": _error(trial, population, metric),
        "total": _signed(difference(trial, population.trials[0], population), trial, population, metric),
        "operator": trial.operator,
        "description": description_of(trial),
    }


def _error(trial: Trial, population: Population, metric: Metric) -> str:
    """Return the standard error of the delta of a trial; empty if it is not known."""
    delta = delta_of(trial, population)
    error = population.error_between(trial.number, delta.against) if delta else None
    return "" if error is None else f"± {metric.size_text(error, population.scores[trial.number])}"


def _signed(change: float | None, trial: Trial, population: Population, metric: Metric) -> str:
    return "" if change is None else metric.delta_text(change, population.scores[trial.number])


def _patch(steps: list[Step], file: str = VAL_BPB.file) -> str:
    if len(steps) < 2 or not (steps[0].trial.program and steps[-1].trial.program):
        return ""
    return diff(steps[0].trial.program, steps[-1].trial.program, file)


def _constants(steps: list[Step]) -> list[dict[str, str]]:
    if not _patch(steps):
        return []
    before, after = (step.trial.program.constants for step in (steps[0], steps[-1]) if step.trial.program)
    return [
        {
            "name": name,
            "before": repr(before[name]) if name in before else "",
            "after": repr(after[name]) if name in after else "",
        }
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def _caveats(
    run: RunDirectory, population: Population, best: Trial | None, final: Mapping[str, Any] | None
) -> list[str]:
    sealed = "The final report has used the holdout split." if final else "The holdout split has not been used."
    if not has_holdout(run):
        sealed = "There is no holdout split here."
    caveats = [*_earlier(population)]
    chosen = "The search selected by these scores on the validation split, so the best of them looks better than it is."
    caveats.append(f"{chosen} {sealed}" if best and best.number else sealed)
    if final and final["report"].looks > 1:
        caveats.append(
            f"{final['report'].looks} champions of this search have been scored on the holdout. The more there are, "
            "the more the search selects by the holdout too."
        )
    if best and best.number:
        counts = (counted(len(each.values), "training") for each in (best, population.trials[0]))
        caveats.append(
            "The best has {}, the baseline {}. A few trainings cannot tell a small gain from noise.".format(*counts)
        )
        if best.values.keys().isdisjoint(population.trials[0].values):
            caveats.append(
                "The best and the baseline share no training seed: they are compared through the trials between them."
            )
    if population.pending:
        waiting = len(population.pending)
        caveats.append(f"{waiting} trials have no verdict yet." if waiting > 1 else "One trial has no verdict yet.")
    return caveats


def _earlier(population: Population) -> list[str]:
    """Return a caveat about the trials of an earlier search."""
    imported = [trial for trial in population.trials if trial.origin]
    if not imported:
        return []
    unmeasured = sum(trial.status is Status.UNMEASURED for trial in imported)
    scores = (
        f"{unmeasured} of them have no score here, because they were measured under other conditions"
        if unmeasured
        else "their scores were measured there, under the conditions of this search"
    )
    return [f"{len(imported)} trials come from an earlier search and count against no budget here: {scores}."]


def _files(run: RunDirectory, best: Trial | None) -> list[tuple[str, str]]:
    files = list(_FILES)
    if best:
        files.insert(0, (run.program_of(best.number).relative_to(run.root).as_posix(), "the best program"))
    return [(name, what) for name, what in files if (run.root / name).exists()]


def _code(text: str) -> str:
    if not text:
        return ""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks} {text} {ticks}".replace("|", r"\|") if len(ticks) > 1 else f"`{text}`".replace("|", r"\|")
