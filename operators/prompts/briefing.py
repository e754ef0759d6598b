"""The facts of a prompt about one proposal, for its templates; the most important facts of each kind come first."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from operators.population import Population
from operators.prompts import history
from operators.prompts.measured import measured
from operators.prompts.tuner import constants_view
from operators.trial import Mutation, Proposal, Status, Trial
from target.evaluation import Evaluation, Outcome
from target.metric import Metric
from target.program import Program
from target.program.assigned import assignments
from target.program.constants import parse_constants
from target.program.syntax import parse

ANSWERS: Final = ("patch", "rewrite", "suggest", "agent")
"""Forms of an answer, each with its template `answer_<form>.j2`."""

SECTIONS: Final = (
    "unsuccessful",
    "near_misses",
    "failures",
    "statistics",
    "inspirations",
    "constants",
    "ancestors",
    "curve",
)
"""The sections that a prompt may leave out, the least important first."""

EARLIER: Final = "earlier"
"""The section with trials of an earlier search under other conditions; less important than all of `SECTIONS`."""

FRUITLESS: Final = "fruitless"
"""The section with what a stuck search has tried since its last keep; more important than all of `SECTIONS`."""

_ENDED: Final = {
    Status.CRASHED: "crashed",
    Status.OUT_OF_MEMORY: "ran out of memory",
    Status.TIMED_OUT: "did not finish in time",
    Status.REJECTED: "was rejected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """The subject of one proposal.

    Attributes:
        answer: Form of the answer, one of `ANSWERS`.
        proposal: The strategy's proposal.
        population: All trials.
        base: The trial whose program is to be changed, or repaired if it failed.
        second: Another trial whose merits it is to be combined with; None for none.
    """

    answer: str
    proposal: Proposal
    population: Population
    base: Trial
    second: Trial | None = None


def first_briefing(program: Program, answer: str) -> Briefing:
    """Return the subject of the first proposal of a search that begins with a program."""
    seed = Trial(
        number=0,
        proposal=Proposal(parents=(), seed=0),
        mutation=Mutation(program=program, operator="seed", description="the seed program"),
        evaluations=(Evaluation(outcome=Outcome.OK, seed=0, score=1.0),),
        status=Status.BASELINE,
        decided=0,
    )
    people = Population((seed,))
    return Briefing(answer=answer, proposal=Proposal(parents=(0,), seed=0), population=people, base=seed)


def told(briefing: Briefing, counts: Mapping[str, int], *, diff_lines: int, metric: Metric) -> dict[str, Any]:
    """Return the context for the template of a user message.

    Args:
        briefing: The subject of the message.
        counts: Largest number of items of each of `SECTIONS`.
        diff_lines: Number of lines shown of a diff.
        metric: What the target measures.
    """
    population, base = briefing.population, briefing.base
    failed = not base.scored
    chain = history.lineage(base, population)[failed:]
    parent = chain[0] if chain else base
    return {
        "metric": metric,
        "base": _described(base, population, metric),
        "stuck": briefing.proposal.stuck,
        "failure": (base.detail or "nothing that would explain it") if failed else "",
        "working": _working(base, parent, population, diff_lines, metric) if failed else None,
        "second": _second(briefing, counts, metric) if briefing.second else None,
        "sections": _sections(briefing, parent, counts, diff_lines, metric),
        "free_constants": _free_constants(briefing.base) if briefing.answer == "suggest" else [],
    }


def _free_constants(trial: Trial) -> list[str]:
    """Return `NAME = value`, as in the program, for each constant that may change; empty if it does not parse."""
    assert trial.program is not None, f"trial {trial.number} has no program"
    try:
        constants = parse_constants(trial.program.source)
        values = dict(assignments(parse(trial.program.source)))
    except (SyntaxError, ValueError):
        return []
    free = dict.fromkeys(name.partition("[")[0] for name, constant in constants.items() if not constant.knob.fixed)
    return [f"{name} = {ast.unparse(values[name])}" for name in free if name in values]


def _sections(
    briefing: Briefing, parent: Trial, counts: Mapping[str, int], diff_lines: int, metric: Metric
) -> dict[str, list[Any]]:
    population = briefing.population
    count = 0 if briefing.second else counts["inspirations"]  # one other program is enough
    shown = history.inspirations(briefing.proposal, parent, population, count)
    told_elsewhere = {trial.number for trial in (*shown, briefing.second) if trial}
    unsuccessful = [trial for trial in history.unsuccessful(parent, population) if trial.number not in told_elsewhere]
    near = [trial for trial in unsuccessful if history.near_miss(trial, population)][: counts["near_misses"]]
    rest = [trial for trial in unsuccessful if trial not in near]
    fruitless = history.since_keep(rest, population) if briefing.proposal.stuck else []
    fruitless = fruitless[: 2 * counts["unsuccessful"]]
    rest = [trial for trial in rest if trial not in fruitless][: counts["unsuccessful"]]
    return {
        "curve": history.curve(briefing.base, counts["curve"]),
        "statistics": measured(briefing.base, counts["statistics"]),
        "ancestors": history.steps(parent, population, metric)[: counts["ancestors"]],
        "inspirations": [_inspiration(parent, each, population, diff_lines, metric) for each in shown],
        "constants": constants_view(population, parent)[: counts["constants"]] if counts["constants"] else [],
        "near_misses": [history.effect(trial, population, metric) for trial in near],
        "unsuccessful": [history.effect(trial, population, metric) for trial in rest],
        "failures": history.failures(parent, population, metric)[: counts["failures"]],
        FRUITLESS: [history.effect(trial, population, metric) for trial in fruitless],
        EARLIER: history.earlier(parent, population, metric)[: counts["unsuccessful"]],
    }


def _inspiration(
    parent: Trial, trial: Trial, population: Population, diff_lines: int, metric: Metric
) -> dict[str, str]:
    return {
        "line": history.effect(trial, population, metric),
        "changes": history.changes_between(parent, trial, diff_lines),
    }


def _working(base: Trial, parent: Trial, population: Population, diff_lines: int, metric: Metric) -> dict[str, Any]:
    score = population.scores.get(parent.number)
    return {
        "number": parent.number,
        "score": "unknown" if score is None else metric.text(score),
        "changes": history.changes_between(parent, base, diff_lines),
    }


def _second(briefing: Briefing, counts: Mapping[str, int], metric: Metric) -> dict[str, Any]:
    assert briefing.second is not None
    population = briefing.population
    shared = {trial.number for trial in history.lineage(briefing.base, population)}
    own = [trial for trial in history.lineage(briefing.second, population) if trial.number not in shared]
    steps = [history.effect(trial, population, metric) for trial in own][: counts["ancestors"]]
    return {**_described(briefing.second, population, metric), "steps": steps}


def _described(trial: Trial, population: Population, metric: Metric) -> dict[str, Any]:
    assert trial.program is not None, f"trial {trial.number} has no program"
    assert trial.mutation is not None
    return {
        "number": trial.number,
        "source": trial.program.source,
        "ended": _ENDED.get(trial.status, ""),
        "change": trial.mutation.description if trial.proposal.parents else "",
        "rationale": trial.mutation.rationale,
        "result": _result(trial, population, metric),
    }


def _result(trial: Trial, population: Population, metric: Metric) -> str:
    score = population.scores.get(trial.number)
    if score is None:
        return trial.status.value
    first = population.scores.get(0)
    champion = population.champion
    best = population.scores.get(champion.number) if champion else None
    count = f", mean of {len(trial.values)} trainings" if len(trial.values) > 1 else ""
    parts = [f"{metric.name} {metric.text(score)}{count}"]
    if first is not None and trial.number:
        parts.append(f"{metric.delta_text(score - first, score)} against the seed program")
    if best is not None and champion is not None and champion.number != trial.number:
        parts.append(f"the champion is #{champion.number} with {metric.text(best)}")
    run = trial.evaluations[0] if trial.evaluations else None
    if run and run.n_parameters:
        parts.append(f"{run.n_parameters:,} parameters")
    if run and run.peak_memory_bytes:
        parts.append(f"{run.peak_memory_bytes / 1e9:.2f} GB at its peak")
    return "; ".join(parts)
