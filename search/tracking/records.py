"""What a tracker gets of a trial: name, tags, parameters and metrics, within the limits of MLflow, the narrowest."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from operators.population import Population
from operators.trial import Status, Trial
from search.figures import delta_of, delta_text
from search.final.report import FinalReport
from search.runs.ledger_records import labels_of
from search.runs.summary import Summary
from search.views.verdicts import description_of, one_line
from target.metric import VAL_BPB, Metric

KIND: Final = "graft.kind"
TRIAL: Final = "graft.trial"
SENT: Final = "graft.sent"
SEARCH_FILES: Final = (
    "summary.json",
    "results.tsv",
    "report.md",
    "report.html",
    "lineage.html",
    "progress.png",
    "environment.json",
    "final.json",
)
"""Files of a search that go to the run of the search."""
TAG_CHARACTERS: Final = 5000
PARAM_CHARACTERS: Final = 500  # the limit of older servers
_PARAMS: Final = 100  # in one log_batch
_SAY_NOTHING: Final = frozenset(
    {"cost_usd", "mean_staleness", "reapplied", "pruned", "audited", "false_prunes", "saved_seconds"}
)
"""Figures of a summary that are no tags while they are 0: this did not happen."""
_OWN_TAGS: Final = (KIND, TRIAL, SENT)
_LABELS: Final = 60
_CURVE_POINTS: Final = 200
_KEY_CHARACTERS: Final = 200
_NAME_CHARACTERS: Final = 60  # of a description, in the name of a run
_DIGITS: Final = 6  # significant ones of a metric
_DECIMALS: Final = 6  # of a difference of scores: more say nothing

_CURVE: Final = "train_loss"
_FIGURES: Final = ("train_seconds", "peak_memory_gb", "cost_usd", "n_evaluations", "posterior_mean", "standard_error")
_RELATIVE: Final = ("posterior_mean", "standard_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trial as it is sent.

    Attributes:
        number: Number of the trial.
        run_name: What a table of runs shows, such as `#17 halve batch (-0.0119)`.
        state: MLflow's idea of how the run ended.
        tags: Status, lineage, description.
        params: Settings of the search, the operator, and the constants of the program.
        metrics: Single figures.
        scores: The names of those among them that depend on other trials too.
        curve: (milliseconds of training, training loss in nats) of the first evaluation.
        wall_seconds: Wall time of its evaluations.
    """

    number: int
    run_name: str
    state: Literal["FINISHED", "FAILED", "KILLED"]
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    scores: tuple[str, ...]
    curve: tuple[tuple[int, float], ...]
    wall_seconds: float

    @property
    def digest(self) -> str:
        """Hash of what belongs to the trial alone. If a tracker has this hash, it has the trial.

        Scores, and the name, which has one, are left out, since every other trial changes them a little.
        """
        metrics = {key: value for key, value in self.metrics.items() if key not in self.scores}
        own = {**asdict(self), "metrics": metrics, "run_name": ""}
        del own["scores"]
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def metric_key(metric: Metric) -> str:
    """Return the name of a target's metric among the metrics of a run."""
    return plain_key(metric.key((*_FIGURES, _CURVE)))


def trial_record(
    trial: Trial, population: Population, parameters: Mapping[str, str] | None = None, metric: Metric = VAL_BPB
) -> TrialRecord:
    """Return the record of a decided trial.

    Args:
        trial: The trial.
        population: All trials.
        parameters: Settings of the search, by which its trials are told from those of others.
        metric: What its target measures.
    """
    parents = trial.proposal.parents
    labels = list(labels_of(trial.proposal).items())[:_LABELS]
    tags = {
        KIND: "trial",
        TRIAL: str(trial.number),
        "graft.status": trial.status.value,
        "graft.outcome": trial.outcome.value if trial.outcome else "",
        "graft.operator": trial.operator,
        "graft.prompt": trial.prompt,
        "graft.parents": ",".join(str(parent) for parent in parents),
        "graft.extra_parents": ",".join(str(parent) for parent in trial.extra_parents),
        "graft.program_id": trial.program.id if trial.program else "",
        "graft.skeleton_id": trial.program.skeleton_id if trial.program else "",
        "graft.description": description_of(trial),
        "graft.verified": str(trial.verified).lower(),
        **{
            f"graft.{plain_key(name)}": str(value)
            for name, value in labels
            if f"graft.{name}" not in (KIND, TRIAL, SENT)
        },
    }
    return TrialRecord(
        number=trial.number,
        run_name=_run_name(trial, population, metric),
        state="FINISHED" if trial.scored else "KILLED" if trial.status is Status.PRUNED else "FAILED",
        tags={key: clean(value, TAG_CHARACTERS) for key, value in tags.items() if value},
        params=_params({**(parameters or {}), "operator": trial.operator}, trial),
        metrics=_metrics(trial, population, metric),
        scores=(metric_key(metric), f"delta_{metric_key(metric)}", *_RELATIVE),
        curve=_curve(trial),
        wall_seconds=sum(run.wall_seconds for run in trial.evaluations),
    )


def search_name(parameters: Mapping[str, str], differing: Sequence[str] = ()) -> str:
    """Return the name of the run of a search, such as `greedy seed=0`.

    Args:
        parameters: Its settings.
        differing: Those that differ between the searches of a sweep.
    """
    others = [key for key in differing if key not in ("strategy", "seed")]
    words = [f"{key}={parameters[key]}" for key in ("seed", *others) if parameters.get(key)]
    return clean(" ".join((parameters.get("strategy", "search"), *words)), PARAM_CHARACTERS)


def summary_tags(summary: Summary, metric: Metric) -> dict[str, str]:
    """Return a summary as tags; as metrics, its figures would appear first in the charts of every trial."""
    figures = summary.to_json(metric)
    said = {
        key: value for key, value in figures.items() if value not in (None, "") and (value or key not in _SAY_NOTHING)
    }
    tags = {f"graft.{plain_key(key)}": _plain(value) for key, value in said.items()}
    return {key: clean(value, TAG_CHARACTERS) for key, value in tags.items()}


def final_tags(report: FinalReport | None, metric: Metric) -> dict[str, str]:
    """Return a final report as tags of the run of a search, for the same reason as in `summary_tags`."""
    if report is None:
        return {}
    tags = {"graft.final": report.verdict, "graft.final_reason": report.reason}
    for name, each in (("val", report.val), ("holdout", report.holdout)):
        if each:
            ends = None if each.low is None or each.high is None else metric.ends((each.low, each.high))
            shown = "" if ends is None else f" [{ends[0]:+.6f}, {ends[1]:+.6f}]"
            tags[f"graft.final_{name}_difference"] = f"{metric.value(each.difference):+.6f}{shown}"
    return {key: clean(value, TAG_CHARACTERS) for key, value in tags.items()}


def clean(text: str, characters: int) -> str:
    """Return a text that any database can store: of limited length, without null characters and lone surrogates."""
    return text.replace("\0", "").encode(errors="replace").decode()[:characters]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plain_key(name: str) -> str:
    """Return a name that any tracker takes."""
    return re.sub(r"[^\w./ -]", "_", name)[:_KEY_CHARACTERS]


def _run_name(trial: Trial, population: Population, metric: Metric) -> str:
    short = shortened(one_line(trial.mutation.description if trial.mutation else ""), _NAME_CHARACTERS)
    ending = delta_text(trial, population, metric) if trial.scored else trial.status.value
    return f"#{trial.number} {short}{ending and f' ({ending})'}"


def shortened(text: str, characters: int) -> str:
    """Return a text of a limited length; it is cut after a comma or a word, because half a number reads like one."""
    if len(text) <= characters:
        return text
    room = text[: characters - 4]
    ends = (room.rfind(", ") + 1, room.rfind(" "), len(room))
    return f"{room[: next(end for end in ends if end > characters // 2)]} ..."


def _params(settings: Mapping[str, str], trial: Trial) -> dict[str, str]:
    constants = trial.program.constants if trial.program else {}
    chosen = list({**settings, **constants}.items())[:_PARAMS]
    return {plain_key(name): clean(str(value), PARAM_CHARACTERS) for name, value in chosen}


def _metrics(trial: Trial, population: Population, metric: Metric) -> dict[str, float]:
    peak = max((run.peak_memory_bytes or 0 for run in trial.evaluations), default=0)
    mean, error = population.posterior[trial.number] if trial.scored else (None, None)
    delta = delta_of(trial, population) if trial.scored else None
    figures: dict[str, float | None] = {
        metric_key(metric): metric.value(population.scores[trial.number]) if trial.scored else None,
        f"delta_{metric_key(metric)}": delta and round(metric.value(delta.amount), _DECIMALS),
        "posterior_mean": None if mean is None else metric.value(mean),
        "standard_error": None if error is None else round(error, _DECIMALS),
        "train_seconds": sum(run.train_seconds for run in trial.evaluations) if trial.evaluations else None,
        "peak_memory_gb": peak / 1e9 if peak else None,
        "cost_usd": trial.cost_usd if trial.cost_usd or trial.exchanges else None,  # a column of zeros says nothing
        "n_evaluations": len(trial.evaluations),
        **_requests(trial),
    }
    return {key: rounded(value) for key, value in figures.items() if value is not None and math.isfinite(value)}


def rounded(value: float) -> float:
    """Return a figure with as many digits as a table has room for; counts stay as they are."""
    return float(value) if not math.isfinite(value) or value == int(value) else float(f"{value:.{_DIGITS}g}")


def _requests(trial: Trial) -> dict[str, float | None]:
    """Return the metrics of its requests to models; none for a trial without requests."""
    replies = [exchange.reply for exchange in trial.exchanges]
    if not replies:
        return {}
    return {
        "llm_requests": len(replies),
        "llm_prompt_tokens": sum(reply.prompt_tokens for reply in replies),
        "llm_cached_tokens": sum(reply.cached_tokens for reply in replies),
        "llm_completion_tokens": sum(reply.completion_tokens for reply in replies),
        "llm_seconds": sum(reply.seconds for reply in replies),
    }


def _curve(trial: Trial) -> tuple[tuple[int, float], ...]:
    points = trial.evaluations[0].curve if trial.evaluations else ()
    finite = [(round(1000 * seconds), loss) for seconds, loss in points if math.isfinite(loss) and 0 <= seconds < 1e9]
    stride = max(1, math.ceil(len(finite) / _CURVE_POINTS))
    return tuple(finite[::-1][::stride][::-1])  # with the last point, the most important one
