"""The state of a search in one record: the content of `summary.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from operators.population import Population
from search.figures import value_of
from search.pruning.figures import pruning_figures
from target.metric import VAL_BPB, Metric

RunStatus = Literal["running", "finished", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """State of a search.

    Attributes:
        name: Name of the search.
        strategy: Name of its strategy.
        seed: Its seed.
        status: `running`; `finished` when a budget was used up; `stopped` when it ended for any other reason.
        stop_reason: The limit that was reached, or why it stopped; empty while running.
        trials: Trials proposed so far, pending ones included.
        trainings: Finished trainings; trial 0, confirmations and trainings stopped early included.
        outcomes: Number of decided trials by outcome.
        baseline_val_bpb: Mean score of the seed program; None before it is known.
        best_val_bpb: Mean score of the champion, corrected for its seeds: comparable with the baseline's.
        best_trial: Number of the champion.
        best_program_id: Id of its program.
        gpu_seconds: Device time of all trainings and scores, by the clock of the target.
        wall_seconds: Wall time of the search, over all its sessions.
        cost_usd: Price of all model calls, including the test requests before the search.
        busy_fraction: Share of the wall time that the evaluation slots were busy.
        mean_staleness: Mean number of verdicts between a proposal and its first training; None if there is none.
        reapplied: Trials whose edit was made to a newer champion than the one it was proposed for.
        pruned: As in `PruningFigures`, like all that follow.
        audited: Trainings that were to be stopped, and ran on.
        false_prunes: Those of them that ended better than the champion.
        saved_seconds: Training time saved.
    """

    name: str
    strategy: str
    seed: int
    status: RunStatus
    stop_reason: str
    trials: int
    trainings: int
    outcomes: dict[str, int]
    baseline_val_bpb: float | None
    best_val_bpb: float | None
    best_trial: int | None
    best_program_id: str | None
    gpu_seconds: float
    wall_seconds: float
    cost_usd: float
    busy_fraction: float
    mean_staleness: float | None = None
    reapplied: int = 0
    pruned: int = 0
    audited: int = 0
    false_prunes: int = 0
    saved_seconds: float = 0.0

    def to_json(self, metric: Metric = VAL_BPB) -> dict[str, Any]:
        """Return the summary as plain JSON types; its two scores have the name and the sign of the metric."""
        return dict(_renamed(asdict(self), VAL_BPB.name, metric.name, metric))

    @classmethod
    def from_json(cls, record: Mapping[str, Any], metric: Metric = VAL_BPB) -> Self:
        """Rebuild a summary; raises `TypeError` if a key is missing or unknown."""
        return cls(**dict(_renamed(record, metric.name, VAL_BPB.name, metric)))


def _renamed(record: Mapping[str, Any], old: str, new: str, metric: Metric) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if key in (f"baseline_{old}", f"best_{old}"):
            yield key.removesuffix(old) + new, value if value is None else metric.value(value)
        else:
            yield key, value


def summarize(
    population: Population,
    *,
    name: str,
    strategy: str,
    seed: int,
    status: RunStatus,
    stop_reason: str,
    wall_seconds: float,
    busy_fraction: float,
    cost_usd: float | None = None,
) -> Summary:
    """Derive a summary from the population.

    Args:
        population: All trials.
        name: As in `Summary`, like all that follow.
        strategy: Name of the strategy.
        seed: Seed of the search.
        status: State of the search.
        stop_reason: Why it does not run.
        wall_seconds: Over all sessions.
        busy_fraction: Of the slots.
        cost_usd: Price of all model calls; None if it is the sum over the trials.
    """
    best = population.champion
    baseline = value_of(population.trials[0], population) if population.champion else None
    return Summary(
        name=name,
        strategy=strategy,
        seed=seed,
        status=status,
        stop_reason=stop_reason,
        trials=len(population.trials),
        trainings=population.trainings,
        outcomes=dict(sorted(population.outcomes.items())),
        baseline_val_bpb=baseline,
        best_val_bpb=value_of(best, population) if best else None,
        best_trial=best.number if best else None,
        best_program_id=best.program.id if best and best.program else None,
        gpu_seconds=population.device_seconds,
        wall_seconds=wall_seconds,
        cost_usd=population.cost_usd if cost_usd is None else cost_usd,
        busy_fraction=busy_fraction,
        mean_staleness=population.staleness,
        reapplied=population.reapplied,
        **asdict(pruning_figures(population)),
    )
