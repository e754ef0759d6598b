"""What proposals made ahead cost: how late the proposals of an arm were, and how often late ones were kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from operators.population import Population
from operators.trial import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many of some trials were kept.

    Attributes:
        trained: Number of trials with a training and a verdict.
        kept: Number of them that became the champion.
    """

    trained: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """The staleness of an arm's proposals: the verdicts that came between a proposal and its first training.

    Attributes:
        mean: Mean over the trials; None if it is not known of any.
        fresh: Trials that were trained before any verdict came.
        stale: The others.
        reapplied: Those of the others whose edit was made to the new champion before the training.
    """

    mean: float | None
    fresh: Kept
    stale: Kept
    reapplied: Kept


def staleness_of(populations: Iterable[Population]) -> Staleness:
    """Return the staleness of the proposals of some searches; the seed program and imported trials do not count."""
    trials = [
        (trial, trial.staleness)
        for population in populations
        for trial in population.decided
        if trial.number and not trial.imported and trial.staleness is not None
    ]
    known = [verdicts for _, verdicts in trials]

    def kept(statuses: list[Status]) -> Kept:
        return Kept(trained=len(statuses), kept=statuses.count(Status.KEEP))

    return Staleness(
        mean=sum(known) / len(known) if known else None,
        fresh=kept([trial.status for trial, verdicts in trials if not verdicts]),
        stale=kept([trial.status for trial, verdicts in trials if verdicts]),
        reapplied=kept([trial.status for trial, _ in trials if trial.original]),
    )
