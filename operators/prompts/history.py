"""The history of a search for a prompt: lineage, inspirations, and failures with their reasons."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from operators.population import Population
from operators.trial import Proposal, Status, Trial
from target.metric import VAL_BPB, Metric
from target.program import Program

_NOISE_FRACTION: Final = 0.002  # of the score: closer to its parent is a near miss, if nothing tells the noise
_DETAIL_CHARACTERS: Final = 600
_FAILED: Final = frozenset({Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.REJECTED})


def lineage(trial: Trial, population: Population) -> list[Trial]:
    """Return a trial and its line of first parents, the trial first."""
    chain = [trial]
    while chain[-1].proposal.parents:
        chain.append(population.trials[chain[-1].proposal.parents[0]])
    return chain


def ancestors(number: int, population: Population) -> set[int]:
    """Return the numbers of all ancestors of a trial, through any parent."""
    found, open_numbers = set[int](), [number]
    while open_numbers:
        for parent in parents_of(population.trials[open_numbers.pop()]):
            if parent not in found:
                found.add(parent)
                open_numbers.append(parent)
    return found


def parents_of(trial: Trial) -> tuple[int, ...]:
    """Return the trials whose programs were used for a trial: the strategy's choice, then the operator's."""
    return (*trial.proposal.parents, *trial.extra_parents)


def steps(trial: Trial, population: Population, metric: Metric = VAL_BPB) -> list[str]:
    """Return each ancestor's change and its result, the latest first; without the seed program."""
    return [effect(each, population, metric) for each in lineage(trial, population) if each.proposal.parents]


def effect(trial: Trial, population: Population, metric: Metric = VAL_BPB) -> str:
    """Return a trial in one line: its change, its score and the difference to its parent."""
    change = trial.mutation.description if trial.mutation else "no program came of it"
    if trial.status in (Status.UNMEASURED, Status.PRUNED):
        return f"#{trial.number} {change}: {shortened(trial.detail)}"
    score = population.scores.get(trial.number) if trial.scored else None
    if score is None:
        return f"#{trial.number} {change}: {trial.status.value}"
    parent = population.scores.get(trial.proposal.parents[0]) if trial.proposal.parents else None
    error = None if parent is None else population.error_between(trial.number, trial.proposal.parents[0])
    doubt = "" if error is None else f", standard error {metric.size_text(error, score)}"
    against = "" if parent is None else f" ({metric.delta_text(score - parent, score)} against its parent{doubt})"
    return f"#{trial.number} {change}: {metric.name} {metric.text(score)}{against}"


def inspirations(proposal: Proposal, parent: Trial, population: Population, count: int) -> list[Trial]:
    """Return the first `count` companions that are not already in the parent's lineage."""
    known = {trial.number for trial in lineage(parent, population)}
    others = (trial for trial in companions(proposal, population) if trial.number not in known)
    return list(itertools.islice(others, count))


def companions(proposal: Proposal, population: Population) -> list[Trial]:
    """Return the scored trials, best first, that a proposal may use in addition to its parents.

    These are the trials that its strategy names, or else all of them. A strategy with separate populations names the
    trials of one population.
    """
    if proposal.companions is None:
        return population.ranked()
    named = [population.trials[number] for number in proposal.companions if number < len(population.trials)]
    return [trial for trial in named if trial.program]


def unsuccessful(parent: Trial, population: Population) -> Iterator[Trial]:
    """Yield the trials that ran and did not beat their parents: the parent's own children first, then the latest.

    They include those whose training was stopped early; their line says at which loss.
    """
    kept = [
        trial
        for trial in population.decided
        if trial.status in (Status.DISCARD, Status.PRUNED) and trial.mutation and trial.proposal.parents
    ]
    yield from sorted(kept, key=lambda trial: (parent.number not in trial.proposal.parents, -trial.number))


def since_keep(trials: Iterable[Trial], population: Population) -> list[Trial]:
    """Return those of some decided trials whose verdict came after the last keep."""
    later = {trial.number for trial in population.since_keep}
    return [trial for trial in trials if trial.number in later]


def near_miss(trial: Trial, population: Population) -> bool:
    """Return whether a trial is about as good as its parent, so that noise may have decided against it.

    That is within a standard error, or within a small fraction of the score as long as nothing tells the error.
    """
    number, other = trial.number, trial.proposal.parents[0]
    score, parent = (population.scores.get(each) for each in (number, other))
    if score is None or parent is None:
        return False
    error = population.error_between(number, other)
    return abs(score - parent) <= (_NOISE_FRACTION * abs(parent) if error is None else error)


def failures(parent: Trial, population: Population, metric: Metric = VAL_BPB) -> list[str]:
    """Return the trials that crashed or were refused, with the reason: the parent's children first, then the latest.

    They include an imported commit whose program is lost: its detail says what was tried and what the result was.
    """
    failed = [
        trial
        for trial in population.decided
        if (trial.status in _FAILED if trial.mutation else trial.imported and not trial.origin)
    ]
    failed.sort(key=lambda trial: (parent.number not in trial.proposal.parents, -trial.number))
    return [f"{effect(trial, population, metric)}: {shortened(trial.detail)}" for trial in failed]


def earlier(parent: Trial, population: Population, metric: Metric = VAL_BPB) -> list[str]:
    """Return the trials of an earlier search, whose scores are not comparable here: the latest first.

    The parent's lineage, which the prompt already has, is left out.
    """
    known = {trial.number for trial in lineage(parent, population)}
    found = (trial for trial in reversed(population.trials) if trial.status is Status.UNMEASURED)
    return [effect(trial, population, metric) for trial in found if trial.number not in known]


def shortened(detail: str) -> str:
    """Return the reason of a failure in one line of bounded length; the end is kept, which is most informative."""
    line = " ".join(detail.split())
    return line if len(line) <= _DETAIL_CHARACTERS else f"... {line[-_DETAIL_CHARACTERS:]}"


def curve(trial: Trial, points: int) -> list[str]:
    """Return a few points of the training curve, evenly spread, the last one included."""
    reported = trial.evaluations[0].curve if trial.evaluations else ()
    if not reported or points < 1:
        return []
    stride = max(1, -(-len(reported) // points))
    return [f"{seconds:.1f} s: {loss:.3f}" for seconds, loss in reported[::-1][::stride][::-1]]


def changes_between(old: Trial, new: Trial, lines: int) -> str:
    """Return the unified diff between the programs of two trials, cut after `lines` lines."""
    if not (old.program and new.program):
        return ""
    return changes_of(old.program, new.program, lines, names=(f"#{old.number}", f"#{new.number}"))


def changes_of(old: Program, new: Program, lines: int, *, names: tuple[str, str] = ("", "")) -> str:
    """Return the unified diff between two programs, cut after `lines` lines."""
    found = list(difflib.unified_diff(old.source.splitlines(), new.source.splitlines(), *names, n=1, lineterm=""))
    more = [f"[{len(found) - lines} more lines]"] if len(found) > lines else []
    return "\n".join([*found[:lines], *more])
