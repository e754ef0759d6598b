"""Records, counts and shows trials that were imported from an autoresearch branch or from another search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from operators.population import Population
from operators.trial import IMPORTED, Trial
from search.errors import UserError
from search.figures import value_text
from search.runs.ledger import Ledger
from search.views.verdicts import description_of
from target.metric import VAL_BPB, Metric

_COMMIT: Final = 7  # characters of a hash that are shown


def adopt(ledger: Ledger, trials: Sequence[Trial]) -> None:
    """Write trials down; after a crash in the middle, the same call writes what is missing.

    Args:
        ledger: The ledger of a search that has no trials of its own yet.
        trials: In order of number. Their field `decided` gives the order of the verdicts.

    Raises:
        UserError: The ledger has other trials.
    """
    for trial in trials:
        if trial.number == len(ledger.population.trials):
            ledger.propose(trial.proposal)
        known = ledger.population.trials[trial.number]
        if known.proposal != trial.proposal or known.evaluations != trial.evaluations[: len(known.evaluations)]:
            raise UserError(
                f"trial {trial.number} exists already and is different: an import was interrupted, and its "
                "source has changed since; choose another name for the new search"
            )
        if trial.mutation and not known.mutation:
            ledger.build(trial.number, trial.mutation)
        for evaluation in trial.evaluations[len(known.evaluations) :]:
            ledger.evaluate(trial.number, evaluation)
    for trial in sorted((each for each in trials if each.decided is not None), key=lambda each: each.decided or 0):
        if ledger.population.trials[trial.number].decided is None:
            ledger.decide(
                trial.number,
                trial.status,
                detail=trial.detail,
                tie=trial.tie,
                elapsed=ledger.elapsed,
                failure=trial.failure,
                seal=False,
            )
    ledger.seal_decided()


def counts(trials: Iterable[Trial]) -> str:
    """Return the number of trials, and how many have each status, in words."""
    found = Counter(trial.status.value for trial in trials)
    total = sum(found.values())
    return f"{total} trial{'s' * (total != 1)}: {', '.join(f'{count} {status}' for status, count in found.items())}"


def shown(population: Population, metric: Metric = VAL_BPB) -> list[str]:
    """Return one line per trial, then one for the champion, and for the best if that is another trial."""
    lines = []
    for trial in population.trials:
        parents = "".join(f" of #{parent}" for parent in trial.proposal.parents)
        score = value_text(trial, population, metric) or "-"
        lines.append(
            f"  #{trial.number:<3} {_commit(trial)}{trial.status.value:<10} {score:<7} {len(trial.evaluations)} x"
            f"{parents}  {description_of(trial)}"
        )
    champion = population.champion
    if champion is None:
        return lines
    best = population.ranked()[0]
    value = value_text(champion, population, metric)
    if population.scores[best.number] == population.scores.get(champion.number):
        return [*lines, f"best: #{champion.number}, {value}"]
    return [
        *lines,
        f"champion, because it was kept last: #{champion.number}, {value}; "
        f"the best score is that of #{best.number}, {value_text(best, population, metric)}",
    ]


def _commit(trial: Trial) -> str:
    """Return the commit that a trial came from; empty if it came from a search, which its description names."""
    return f"{str(trial.proposal.labels[IMPORTED])[:_COMMIT]} " if trial.imported and not trial.origin else ""
