"""What the search has seen of the constants, as sentences for a prompt: where the good values lie, and what matters."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from operators.population import Population
from operators.trial import Trial

_FEWEST_TRIALS: Final = 6  # a correlation of fewer says nothing
_FEWEST_VALUES: Final = 3
_BEST_FRACTION: Final = 0.25


def constants_view(population: Population, parent: Trial) -> list[str]:
    """Return a sentence for each numeric constant of the parent that has been varied, the most important first.

    Importance is the rank correlation (Spearman 1904) of value and score over the scored trials that have the
    constant. Constants that were moved together share their effect, so this is a hint and no finding.
    """
    rows = list[tuple[float, str]]()
    for name, value in parent.program.constants.items() if parent.program else ():
        if isinstance(value, bool | str):
            continue
        pairs = list[tuple[float, float]]()
        for trial in population.scored:
            other = trial.program.constants.get(name) if trial.program else None
            if isinstance(other, int | float) and not isinstance(other, bool):
                pairs.append((float(other), population.scores[trial.number]))
        values, scores = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if len(pairs) < _FEWEST_TRIALS or len(set(values)) < _FEWEST_VALUES:
            continue
        rho = spearman(values, scores)
        pairs.sort(key=lambda pair: (pair[1], pair[0]))
        best = [pair[0] for pair in pairs[: max(2, round(_BEST_FRACTION * len(pairs)))]]
        trend = "larger is better" if rho < 0 else "smaller is better"
        rows.append(
            (
                -abs(rho),
                f"{name} = {value!r}: rank correlation with val_bpb {rho:+.2f} over {len(pairs)} trials ({trend}); "
                f"best quarter {min(best):g} to {max(best):g}, tried {min(values):g} to {max(values):g}",
            )
        )
    return [text for _, text in sorted(rows)]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the rank correlation of two samples of one length; 0 if one of them is constant."""
    ranks = [_ranks(sample) for sample in (first, second)]
    if any(len(set(each)) < 2 for each in ranks):
        return 0.0
    return statistics.correlation(*ranks)


def _ranks(sample: Sequence[float]) -> list[float]:
    """Return ranks from 1; equal values share their mean rank."""
    ordered = sorted(sample)
    first = {value: index for index, value in reversed(list(enumerate(ordered, start=1)))}
    return [first[value] + (ordered.count(value) - 1) / 2 for value in sample]
