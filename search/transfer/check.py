"""Trains baseline and best program at another size, on fresh seeds, and the best program without each of its steps.

Each result is kept as soon as it is there. Trainings of an interrupted earlier call are reused. The validation text
scores; the sealed holdout is not used. These trainings are not part of the search and count against no budget.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from operators.population import Population
from operators.trial import Trial
from search.best import program_of
from search.errors import UserError
from search.retraining import train
from search.runs.files import write_atomically
from search.transfer.judge import failure_text, judge_gain, judge_steps, own_row, share_of
from search.transfer.record import Record, StepEffect, TransferReport
from search.transfer.scale import Scale
from search.transfer.steps import Plan, plan_steps, prefix
from target.evaluation import Evaluation, Outcome
from target.executor import Executor
from target.metric import Metric
from target.program import Program
from target.program.constants import format_value

_TO_CHANGE: Final = {
    Outcome.OUT_OF_MEMORY: "choose a smaller size, or give it more memory",
    Outcome.TIMED_OUT: "choose a smaller size, or give it more time: --budget, or --scale with the limit that is named",
}
_OTHERWISE: Final = "change the size"


class Transfer:
    """One transfer of one search.

    Args:
        record: Its file; the caller holds the lock of the search.
        steps: The lineage of the best program, the seed program first.
        population: The search.
        scale: The new size.
        target: The configuration of the target in the search.
        metric: What it measures.
        seeds: Training seeds that the search has not used.
        executor: Trains at the new size; it is not started yet.
        say: Is called with messages about the progress.

    Raises:
        UserError: The size does not fit the programs, or changes nothing.
    """

    def __init__(
        self,
        record: Record,
        steps: Sequence[Trial],
        population: Population,
        *,
        scale: Scale,
        target: Mapping[str, Any],
        metric: Metric,
        seeds: Sequence[int],
        executor: Executor,
        say: Callable[[str], None],
    ) -> None:
        self._record, self._steps, self._population = record, steps, population
        self._scale, self._metric, self._seeds = scale, metric, tuple(seeds)
        self._executor, self._say = executor, say
        self._to_close = contextlib.ExitStack()
        self._names: dict[str, str] = {}
        first, last = program_of(steps[0]), program_of(steps[-1])
        self._baseline = scale.program(first, called="the seed program")
        self._best = scale.program(last, called="the best program")
        if (first.id, last.id) == (self._baseline.id, self._best.id) and not (scale.settings or scale.other):
            raise UserError("this is the size of the search: graft final trains both programs again at their own size")
        if self._baseline.id == self._best.id:
            sets = ", ".join(scale.constants)
            raise UserError(
                f"at this size the best program is the seed program: they differ only in {sets}, which --scale sets"
            )
        self._changes = scale.changes(target, first)

    def run(self, *, with_steps: bool) -> TransferReport:
        """Train what is missing, write the report, and return it.

        Args:
            with_steps: Measure each step too. What is known about the steps is reported in any case.

        Raises:
            UserError: The seed program has no score at this size.
            TargetError: Nothing can be evaluated on this machine.
        """
        with self._to_close:
            plans = plan_steps(self._steps, self._scale)
            self._measure_all(plans if with_steps else [])
            runs = list(zip(self._runs(self._baseline), self._runs(self._best), strict=True))
            own = own_row(self._steps[-1], self._population)
            here, verdict, reason = judge_gain(own, runs, self._metric)
            steps = self._judged_steps(plans, ask=with_steps and here is not None)
        share, low, high = share_of(own, here)
        first, last = program_of(self._steps[0]), program_of(self._steps[-1])
        replaced = {name: last.constants[name] for name in self._scale.constants}
        report = TransferReport(
            trial=self._steps[-1].number,
            program_id=last.id,
            changes=tuple((name, old, new) for name, (old, new) in self._changes.items()),
            replaced=tuple(
                (name, format_value(value)) for name, value in replaced.items() if value != first.constants[name]
            ),
            seeds=self._seeds,
            own=own,
            here=here,
            share=share,
            share_low=low,
            share_high=high,
            verdict=verdict,
            reason=reason,
            steps=steps,
        )
        self._record.write(report)
        return report

    def _measure_all(self, plans: Sequence[Plan]) -> None:
        """Train baseline and best program, and the programs of the steps if the best one scores.

        All programs are trained seed by seed: if the speed of the machine drifts, that is a part of the seed's effect.
        """
        programs = {"seed program": self._baseline, "best program": self._best}
        if plans:
            self._measure(programs, self._seeds[:1])
            (first,) = self._record.trainings.of(self._best, self._seeds[:1])
            programs |= {} if first.score is None else self._called(plans)
        self._measure(programs, self._seeds)

    def _judged_steps(self, plans: Sequence[Plan], *, ask: bool) -> tuple[StepEffect, ...] | None:
        """Return the effects of the steps; None if a training for them is missing and they were not asked for."""
        if not ask and self._record.trainings.missing(_programs(plans), self._seeds):
            return None
        self._measure(self._called(plans), self._seeds)
        plans = [self._instead(plan, index) for index, plan in enumerate(plans)]
        if not ask and self._record.trainings.missing(_programs(plans), self._seeds):
            return None
        self._measure(self._called(plans), self._seeds)
        runs = {each.id: self._runs(each) for each in (self._baseline, self._best, *_programs(plans))}
        return judge_steps(plans, runs, self._population)

    def _instead(self, plan: Plan, index: int) -> Plan:
        """Return the other way to measure a step without which the best program fails."""
        if plan.how != "without" or plan.less is None:
            return plan
        failed = [run for run in self._runs(plan.less) if run.score is None]
        if not failed:
            return plan
        why = f"without it the best program fails ({failure_text(failed[0])})"
        return prefix(plan.trial, program_of(self._steps[index]), self._scale, why)

    def _called(self, plans: Sequence[Plan]) -> dict[str, Program]:
        """Return the programs of plans, with what to call them."""
        named = {}
        for plan in plans:
            way = "best program without" if plan.how == "without" else "lineage up to before"
            if plan.less and plan.more:
                named[f"{way} #{plan.trial.number}"] = plan.less
                named[f"lineage up to #{plan.trial.number}"] = plan.more
        return named

    def _measure(self, programs: Mapping[str, Program], seeds: Sequence[int]) -> None:
        """Train what is missing of some programs, by what to call them, on some seeds."""
        for name, program in programs.items():
            self._names.setdefault(program.id, name)
        self._require_baseline()
        wanted = self._record.trainings.missing([*programs.values()], seeds)
        if not wanted:
            return
        self._say(f"transfer: {len(wanted)} training{'s' * (len(wanted) > 1)} on fresh seeds")
        folder = self._record.folder
        for program in dict(wanted):
            write_atomically(folder / f"{program.id}.py", program.source)
        for program, run in train(self._started, wanted, folder):
            self._record.trainings.add(program, run)
            self._record.write()
            score = failure_text(run) if run.score is None else f"{self._metric.name} {self._metric.text(run.score)}"
            self._say(f"{self._names[program.id]}, seed {run.seed}: {score}")
            self._require_baseline()

    @functools.cached_property
    def _started(self) -> Executor:
        """The executor; it is started when something is to be trained."""
        self._to_close.callback(self._executor.close)
        self._executor.start()
        return self._executor

    def _require_baseline(self) -> None:
        """Refuse to go on if all trainings of the seed program so far have failed."""
        own = [each["evaluation"] for each in self._record.trainings.records if each["program_id"] == self._baseline.id]
        runs = [run for each in own if (run := Evaluation.from_json(each)).seed in self._seeds]
        if not runs or any(run.score is not None for run in runs):
            return
        how = failure_text(runs[0], characters=400)
        raise UserError(
            f"the seed program fails at this size ({how}), so there is nothing to compare with: "
            f"{_TO_CHANGE.get(runs[0].outcome, _OTHERWISE)}; what it printed is in {self._record.folder}, and --again "
            "tries the same again"
        )

    def _runs(self, program: Program) -> list[Evaluation]:
        return self._record.trainings.of(program, self._seeds)


def _programs(plans: Sequence[Plan]) -> list[Program]:
    return [program for plan in plans for program in (plan.more, plan.less) if program]
