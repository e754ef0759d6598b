"""What the trainings of a transfer say: about the gain as a whole, and about each step of the lineage.

The gain is judged as `search.final` judges it: differences on equal seeds, and Student's t interval of their mean.

The steps are judged together. Their trainings form a table of programs and seeds, and

    score[program, seed] = program + seed + residual

with one standard deviation of the residual for all programs (the analysis of variance of randomised blocks, Fisher
1935). With three seeds a single step would have two degrees of freedom; the table has many more. The p-values are
adjusted by Holm's method: the probability that any step without an effect is said to have one is at most `ALPHA`.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from operators.population import Population
from operators.trial import Trial
from search.figures import delta_of, difference
from search.final.report import contrast_of, verdict_on
from search.statistics import ALPHA, block_residuals, holm, t_interval, t_p_value
from search.transfer.record import Row, StepEffect, VerdictOnStep, VerdictOnTransfer
from search.transfer.steps import Plan
from search.views.verdicts import description_of
from target.evaluation import Evaluation
from target.metric import Metric

_WORDS: Final[dict[str, VerdictOnTransfer]] = {
    "holds": "the gain holds",
    "does not hold": "the gain is gone",
    "cannot be told": "cannot tell",
}


def own_row(best: Trial, population: Population) -> Row:
    """Return baseline and best program as the search measured them, corrected for training seeds.

    The interval is Student's, with the degrees of freedom of the noise of the search: often fewer than ten. It does not
    allow for the choice of the best of many.
    """
    first = population.trials[0]
    sd, change, error = population.noise_sd, difference(best, first, population) or 0.0, None
    if sd is not None:
        error = population.error_between(best.number, 0)
    interval = None if error is None else t_interval(change, error, population.noise_freedom)
    n_first, n_best = len(first.values), len(best.values)
    return Row(
        n_baseline=n_first,
        n_best=n_best,
        baseline=population.scores[0],
        baseline_error=None if sd is None or not n_first else sd / math.sqrt(n_first),
        best=population.scores[best.number],
        best_error=None if sd is None or not n_best else sd / math.sqrt(n_best),
        difference=change,
        error=error,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def judge_gain(
    own: Row, runs: Sequence[tuple[Evaluation, Evaluation]], metric: Metric
) -> tuple[Row | None, VerdictOnTransfer, str]:
    """Return the figures at the new size, the verdict and its reason.

    Args:
        own: The figures of the search.
        runs: Baseline and best program on each seed.
        metric: What the target measures.
    """
    pairs = [(first.score, best.score) for first, best in runs if first.score is not None and best.score is not None]
    contrast = contrast_of(pairs)
    failed = [best for _, best in runs if best.score is None]
    found, reason = verdict_on(contrast, own.difference, len(failed), len(runs), metric)
    verdict = _WORDS[found]
    if failed:
        reason = f"{reason} ({failure_text(failed[0])})"
    if contrast is None:
        return None, verdict, reason
    if contrast.is_exact and not failed:
        verdict = "the gain holds" if contrast.difference < 0 else "the gain is gone"
        each = metric.delta_text(contrast.difference, contrast.baseline)
        reason = f"the difference is {each} on each seed: seeds change nothing in these trainings"
    first, best = zip(*pairs, strict=True)
    return (
        Row(
            n_baseline=len(pairs),
            n_best=len(pairs),
            baseline=contrast.baseline,
            baseline_error=_error(first),
            best=contrast.champion,
            best_error=_error(best),
            difference=contrast.difference,
            error=None if contrast.sd is None else contrast.sd / math.sqrt(len(pairs)),
            low=contrast.low,
            high=contrast.high,
        ),
        verdict,
        reason,
    )


def share_of(own: Row, here: Row | None) -> tuple[float | None, float | None, float | None]:
    """Return which share of the gain in the search is left here, with its interval if the gain is taken as exact."""
    if here is None or own.difference >= 0:
        return None, None, None
    ends = (None, None) if here.low is None or here.high is None else (here.high, here.low)
    low, high = (None if end is None else end / own.difference for end in ends)
    return here.difference / own.difference, low, high


def judge_steps(
    plans: Sequence[Plan], runs: dict[str, list[Evaluation]], population: Population
) -> tuple[StepEffect, ...]:
    """Return the effect of each step, and what follows.

    Args:
        plans: How the steps were measured.
        runs: The trainings of all programs of the transfer, by the id of the program, on the same seeds.
        population: The search.
    """
    scores = {key: [run.score for run in own] for key, own in runs.items()}
    whole = {key: [each for each in own if each is not None] for key, own in scores.items() if None not in own}
    sd, freedom = block_residuals(list(whole.values()))
    effects = [_measured(plan, runs, whole, sd, population) for plan in plans]
    tested = [effect for effect in effects if effect.effect is not None and effect.error is not None]
    p_values = holm([t_p_value(each.effect or 0.0, each.error or 0.0, freedom) for each in tested])
    adjusted = dict(zip((each.trial for each in tested), p_values, strict=True))
    return tuple(
        replace(effect, p=adjusted[effect.trial], verdict=_verdict(effect, adjusted[effect.trial]))
        if effect.trial in adjusted
        else effect
        for effect in effects
    )


def failure_text(run: Evaluation, *, characters: int = 160) -> str:
    """Return in one line how a training failed, with about so many characters of the reason."""
    detail = textwrap.shorten(run.detail, characters, placeholder=" ...")
    return f"{run.outcome.value.replace('_', ' ')}: {detail}" if detail else run.outcome.value.replace("_", " ")


def _measured(
    plan: Plan,
    runs: dict[str, list[Evaluation]],
    whole: dict[str, list[float]],
    sd: float | None,
    population: Population,
) -> StepEffect:
    """Return a step with its effect and its standard error, if it has them."""
    delta = delta_of(plan.trial, population)
    effect = StepEffect(
        trial=plan.trial.number,
        description=description_of(plan.trial),
        how=plan.how,
        why=plan.why,
        searched=delta.amount if delta else None,
        searched_error=population.error_between(plan.trial.number, delta.against) if delta else None,
    )
    if plan.less is None or plan.more is None:
        return effect
    for program in (plan.more, plan.less):
        if program.id not in whole:
            failed = next(run for run in runs[program.id] if run.score is None)
            with_it = "with" if program is plan.more else "without"
            return replace(effect, why=f"{with_it} it a training fails ({failure_text(failed)})", verdict="cannot tell")
    more, less = whole[plan.more.id], whole[plan.less.id]
    error = None if sd is None else sd * math.sqrt(2 / len(more))
    return replace(effect, effect=statistics.fmean(more) - statistics.fmean(less), error=error, verdict="cannot tell")


def _verdict(effect: StepEffect, p: float) -> VerdictOnStep:
    if effect.error == 0 and effect.effect == 0:
        return "no effect"
    if p >= ALPHA:
        return "cannot tell"
    return "survives" if (effect.effect or 0.0) < 0 else "hurts"


def _error(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
