"""Whether an improvement holds: champion against baseline on fresh seeds, on validation text and on the sealed holdout.

The differences are paired: both programs are trained on each seed, which cancels the effect of the seed.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from search.errors import UserError
from search.runs.rundir import RunDirectory
from search.statistics import CONFIDENCE, mean_interval, seeds_to_exclude_zero
from target.evaluation import Evaluation
from target.metric import VAL_BPB, Metric

_NO_WIDTH: Final = 1e-9  # of the difference: rounding
VerdictOnGain = Literal["holds", "does not hold", "cannot be told"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Champion minus baseline on one text, over the seeds on which both have a score.

    Attributes:
        baseline: Mean bits per byte.
        champion: Mean bits per byte.
        difference: Champion minus baseline; negative is better.
        low: Lower end of its t interval; None for a single seed.
        high: Upper end.
        sd: Standard deviation of the differences; None for a single seed.
    """

    baseline: float
    champion: float
    difference: float
    low: float | None
    high: float | None
    sd: float | None

    @property
    def is_exact(self) -> bool:
        """Whether the difference is the same on each of two or more seeds, except for rounding."""
        if self.low is None or self.high is None:
            return False
        return self.high - self.low <= _NO_WIDTH * abs(self.difference)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalReport:
    """What `final.json` holds besides the trainings.

    Attributes:
        trial: Number of the champion.
        program_id: Id of its program.
        seeds: Fresh training seeds, none of which the search has used.
        n_pairs: Seeds on which both programs have a score.
        champion_failures: Seeds on which the champion has none.
        reported_difference: Champion minus baseline as the search reported it.
        val: On the validation text, by which the search selected.
        holdout: On the text that nothing else uses; None if the target has no holdout.
        looks: Number of champions that have been scored on the holdout, this one included.
        verdict: The verdict by the holdout, or by the validation text if there is no holdout.
        reason: The reason for the verdict.
    """

    trial: int
    program_id: str
    seeds: tuple[int, ...]
    n_pairs: int
    champion_failures: int
    reported_difference: float
    val: Contrast | None
    holdout: Contrast | None
    looks: int
    verdict: VerdictOnGain
    reason: str


def judge_final(
    trial: int,
    program_id: str,
    runs: Sequence[tuple[Evaluation, Evaluation]],
    *,
    reported_difference: float,
    looks: int,
    metric: Metric = VAL_BPB,
) -> FinalReport:
    """Derive the report from the trainings.

    Args:
        trial: Number of the champion.
        program_id: Id of its program.
        runs: Baseline and champion on each seed.
        reported_difference: Champion minus baseline as the search reported it.
        looks: Number of champions that have been scored on the holdout.
        metric: What the target measures, for the reason.
    """
    scored = [(first, second) for first, second in runs if first.score is not None and second.score is not None]
    val = contrast_of([(first.score or 0.0, second.score or 0.0) for first, second in scored])
    held_out = [
        (first.holdout_bpb, second.holdout_bpb)
        for first, second in scored
        if first.holdout_bpb is not None and second.holdout_bpb is not None
    ]
    holdout = contrast_of(held_out)
    failures = sum(second.score is None for _, second in runs)
    verdict, reason = verdict_on(holdout or val, reported_difference, failures, len(runs), metric)
    return FinalReport(
        trial=trial,
        program_id=program_id,
        seeds=tuple(first.seed for first, _ in runs),
        n_pairs=len(scored),
        champion_failures=failures,
        reported_difference=reported_difference,
        val=val,
        holdout=holdout,
        looks=looks,
        verdict=verdict,
        reason=reason,
    )


def read_final(run: RunDirectory) -> tuple[FinalReport | None, list[Mapping[str, Any]]]:
    """Read final.json: the report, if it is complete, and its trainings.

    Raises:
        UserError: If it is damaged.
    """
    try:
        record = json.loads(run.final.read_text(encoding="utf-8"))
        trainings = record["trainings"]
        report = record["report"]
        if report is None:
            return None, trainings
        contrasts = {name: report[name] and Contrast(**report[name]) for name in ("val", "holdout")}
        return FinalReport(**{**report, **contrasts, "seeds": tuple(report["seeds"])}), trainings
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run.final} cannot be read ({error}); move it away to measure again") from error


def final_json(report: FinalReport | None, trainings: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of final.json."""
    record = {"report": None if report is None else asdict(report), "trainings": list(trainings)}
    return json.dumps(record, indent=2) + "\n"


def final_text(report: FinalReport, metric: Metric = VAL_BPB) -> str:
    """Return a final report for the console, in the metric of its target."""
    found = {"validation": report.val, "holdout": report.holdout}
    lines = [f"{name:<10} {_contrast_text(each, metric)}" for name, each in found.items() if each]
    if _has_shrunk(report, metric):
        lines.append("the gain is smaller than the search reported, because the best of many looks better than it is")
    return "\n".join([verdict_sentence(report), *lines])


def verdict_sentence(report: FinalReport) -> str:
    """Return the verdict and its reason."""
    state = (
        "it cannot be told whether the improvement holds"
        if report.verdict == "cannot be told"
        else (f"the improvement {report.verdict}")
    )
    return f"{state}: {report.reason}"


def _has_shrunk(report: FinalReport, metric: Metric) -> bool:
    """Whether a gain that the search reported is smaller on fresh seeds, by what can be seen in the texts."""
    val, reported = report.val, report.reported_difference
    if val is None or reported >= 0 or val.difference <= reported:
        return False
    return metric.delta_text(val.difference, val.baseline) != metric.delta_text(reported, val.baseline)


def _contrast_text(contrast: Contrast, metric: Metric) -> str:
    def shown(amount: float) -> str:
        return metric.delta_text(amount, contrast.baseline)

    ends = ""
    if contrast.low is not None and contrast.high is not None:
        low, high = sorted((contrast.low, contrast.high), key=metric.value)
        ends = f" [{shown(low)}, {shown(high)}]"
    scores = f"{metric.text(contrast.baseline)} → {metric.text(contrast.champion)}"
    return f"{scores}, difference {shown(contrast.difference)}{ends}"


def contrast_of(pairs: Sequence[tuple[float, float]]) -> Contrast | None:
    """Return the contrast over the scores of baseline and champion on each seed; None without one."""
    if not pairs:
        return None
    differences = [champion - baseline for baseline, champion in pairs]
    interval = mean_interval(differences) if len(pairs) > 1 else None
    return Contrast(
        baseline=statistics.fmean(baseline for baseline, _ in pairs),
        champion=statistics.fmean(champion for _, champion in pairs),
        difference=statistics.fmean(differences),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        sd=statistics.stdev(differences) if len(pairs) > 1 else None,
    )


def verdict_on(
    contrast: Contrast | None, reported: float, failures: int, n_seeds: int, metric: Metric
) -> tuple[VerdictOnGain, str]:
    """Return the verdict on a gain, and the reason for it.

    Args:
        contrast: Champion against baseline; None if there is no seed on which both have a score.
        reported: Champion minus baseline as the search reported it.
        failures: Seeds on which the champion failed.
        n_seeds: All seeds.
        metric: What the target measures.
    """
    if failures:
        return "does not hold", f"the best program failed on {failures} of {n_seeds} fresh seeds"
    if contrast is None or contrast.low is None or contrast.high is None or contrast.sd is None:
        return "cannot be told", "at least two seeds on which both programs score are needed"
    if contrast.is_exact:
        each = metric.delta_text(contrast.difference, contrast.baseline)
        return "cannot be told", (
            f"the difference is {each} on each seed: a seed changes nothing in these trainings, so fresh ones do not "
            "show how much of it is luck"
        )
    level = f"{100 * CONFIDENCE:.0f} % interval"
    claimed = metric.delta_text(reported, contrast.baseline)
    if contrast.high < 0:
        share = f", the search reported {claimed}" if reported < 0 else ""
        side = "above" if metric.is_maximized else "below"
        return "holds", f"the whole {level} is {side} zero{share}"
    if contrast.low > min(reported, 0.0) / 2:
        if reported >= 0:
            side = "below" if metric.is_maximized else "above"
            return "does not hold", f"the whole {level} is {side} zero, and the search reported no gain: {claimed}"
        return "does not hold", f"the {level} does not reach half of what the search reported, {claimed}"
    needed = seeds_to_exclude_zero(contrast.difference, contrast.sd)
    more = f"; if the difference is real, about {needed} seeds would tell" if needed and contrast.difference < 0 else ""
    return "cannot be told", f"the {level} includes both a gain like the reported one and none{more}"
