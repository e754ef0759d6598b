"""What pruning has saved a search, and what its audits found."""

from __future__ import annotations

from dataclasses import dataclass

from operators.population import Population
from operators.trial import Status, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningFigures:
    """Counts over the decided trials.

    Attributes:
        pruned: Trainings that were stopped.
        audited: Trainings that failed a check and ran to their end nevertheless.
        false_prunes: Audits that ended better than the champion of that time: stopping them would have been wrong.
        saved_seconds: Training time that the stopped ones did not use, by the clock of the target.
    """

    pruned: int = 0
    audited: int = 0
    false_prunes: int = 0
    saved_seconds: float = 0.0


def pruning_figures(population: Population) -> PruningFigures:
    """Count what was pruned and audited in this search. A whole training takes as long as the first champion's."""
    own = [trial for trial in population.failed_checks if not trial.imported]
    pruned = [trial for trial in own if trial.status is Status.PRUNED]
    audited = [trial for trial in own if trial.status is not Status.PRUNED]
    whole = next((run.train_seconds for trial in population.champions for run in trial.evaluations), 0.0)
    return PruningFigures(
        pruned=len(pruned),
        audited=len(audited),
        false_prunes=sum(_beat_the_champion(trial, population) for trial in audited),
        saved_seconds=sum(max(0.0, whole - trial.evaluations[0].train_seconds) for trial in pruned),
    )


def _beat_the_champion(trial: Trial, population: Population) -> bool:
    champion = population.champion_before(trial)
    better = trial.scored and champion and population.scores[trial.number] < population.scores[champion.number]
    return trial.status is Status.KEEP or bool(better)
