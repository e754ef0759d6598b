"""The search: proposals, pre-flights and trainings in parallel, each step in the ledger before anything depends on it.

One thread owns all state and waits for futures; operators run in threads, evaluations in the executor's processes. The
stages are propose -> pre-flight -> train and score -> record. The queues between them are bounded: there are never more
trials under way than slots and programs made ahead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any

from operators.base import MutationError, ProviderError
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Status, Trial
from search.acceptance import Measure, Verdict
from search.baseline import remarks, require_baseline, require_same_seed_program
from search.contracts import checked_mutation
from search.decisions import Proposer, Refusal, failed, next_step, refuse, trainings_wanted
from search.errors import PartError, SeedProgramError
from search.observer import Observer
from search.reapply import Moved, reapply
from search.recorder import Recorder
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import NOTHING_TO_PROPOSE, Settings
from search.steering.steering import Steering
from search.strategies.base import NothingToProposeError
from search.tasks import Stage, Task, given_up, running
from search.under_way import UnderWay
from target.errors import TargetError, disk_is_full
from target.evaluation import Evaluation
from target.executor import Executor


class Loop:
    """Drives one search from the state of its ledger to the end of its budget.

    Args:
        settings: The search.
        run: Its folder.
        ledger: The open ledger of that folder.
        executor: Evaluates programs; started and closed by the caller.
        observer: Is notified of everything.
        clock: Monotonic seconds.
        tick_seconds: Interval at which signals are handled and the observer is called.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        run: RunDirectory,
        ledger: Ledger,
        executor: Executor,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        tick_seconds: float = 0.25,
    ) -> None:
        self._settings = settings
        self._run = run
        self._ledger = ledger
        self._share = ledger.share
        self._observer = observer
        self._recorder = Recorder(settings, run, ledger, observer, slots=executor.slots, clock=clock)
        self._slots = executor.slots
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._proposer = Proposer(settings, observer.say)
        self._work = UnderWay(settings, run, ledger, executor, clock)
        self._passed: set[int] = set()  # trials whose pre-flight is over
        self._repeats: dict[tuple[int, int], None] = {}  # trainings, (number, seed), of programs proposed again
        self._decided_before = len(ledger.population.decided)
        self._interrupted = ""
        self._steering = Steering(run, observer.say)
        self._idle = ""  # why there is nothing to do although the budget is not used up

    def interrupt(self, reason: str) -> None:
        """Ask the search to abandon what is under way and stop; safe to call from a signal handler."""
        self._interrupted = reason
        self._share.interrupt()

    def run(self) -> Summary:
        """Search until a budget is used up or something stops the search.

        Raises:
            UserError: If the folder holds a search with another seed program; it is not changed.
            SeedProgramError: If trial 0 does not score.
            ProviderError: If the operator's provider fails.
            TargetError: If nothing can be evaluated on this machine.
            OSError: If a file cannot be written, for example because the disk is full.
        """
        try:
            with self._ledger.turn():
                self._begin()
            finished: Collection[Future[Any]] = ()
            while True:
                with self._ledger.turn() as changed:
                    self._hear(changed)
                    self._collect(finished)
                    for number, verdict in [*self._steering.skipped(self._work.waiting())]:
                        self._decide(number, verdict)
                    self._settle()
                    exhausted = self._exhausted() or self._idle
                    if self._interrupted or (exhausted and not self._work.tasks):
                        return self._end(exhausted)
                    if not exhausted and not self._steering.look():
                        self._launch()
                finished = () if self._idle else self._work.wait(self._tick_seconds, is_paused=self._steering.paused)
        except (PartError, SeedProgramError, ProviderError, TargetError) as error:
            self.stop(str(error))
            raise
        except OSError as error:
            if disk_is_full(error):
                with contextlib.suppress(OSError):  # the disk may be full; any other error was reported
                    self.stop(str(error))
            raise

    def stop(self, reason: str) -> Summary:
        """Record that the search has stopped, and why."""
        self._recorder.repair()
        return self._recorder.record("stopped", reason)

    @property
    def _population(self) -> Population:
        return self._ledger.population

    # Beginning and resuming

    def _begin(self) -> None:
        program = self._settings.seed_program
        if not self._population.trials:
            self._ledger.propose(Proposal(parents=(), seed=self._settings.seed, operator="seed"))
        first = self._population.trials[0]
        if first.program is None:
            self._ledger.build(0, Mutation(program=program, operator="seed", description="the seed program"))
        else:
            require_same_seed_program(first, program, self._run)
        self._recorder.repair()
        require_baseline(self._population.trials[0], self._run)
        self._take_on()
        self._recorder.record("running", "")

    def _take_on(self) -> None:
        """Go on with the pending trials that no session has: those of one that has ended."""
        for number in self._share.orphans(trial.number for trial in self._population.pending):
            self._share.claim((number, None))
            trial = self._population.trials[number]
            if trial.program is None:
                self._work.propose(number)
            elif trial.evaluations:
                self._passed.add(number)
            elif not self._reapplied(number):
                self._submit_preflight(number)

    def _hear(self, changed: Collection[int]) -> None:
        """Write down what other sessions have done, and go on with what dead ones have left.

        Args:
            changed: The trials that others have changed.
        """
        trials = [self._population.trials[number] for number in changed]
        if decided := [trial for trial in trials if trial.decided is not None]:
            self._recorder.heard(decided)
            require_baseline(self._population.trials[0], self._run)
        if any(trial.status is Status.KEEP for trial in decided):
            self._reapply_waiting()
        self._passed = {number for number in self._passed if self._share.holds((number, None))}
        self._take_on()

    # Deciding

    def _settle(self) -> None:
        """Give every verdict that can be given; one verdict may make another possible."""
        while True:
            verdicts = [(trial.number, step) for trial, step in self._steps() if isinstance(step, Verdict)]
            if not verdicts:
                return
            self._decide(*verdicts[0])

    def _steps(self) -> list[tuple[Trial, Measure | Verdict]]:
        population, acceptance, gates = self._population, self._settings.acceptance, self._settings.gates
        waiting = population.pending if population.champion else population.pending[:1]  # the baseline comes first
        ready = (trial for trial in waiting if trial.number in self._passed)
        return [(trial, next_step(trial, population, acceptance, gates)) for trial in ready]

    def _decide(self, number: int, verdict: Verdict, spent: Attempt | None = None) -> None:
        trial = self._recorder.decide(number, verdict, spent)
        for remark in remarks(trial, self._settings.seed_variable):
            self._observer.say(remark)
        self._passed.discard(number)
        self._share.release((number, None))
        require_baseline(self._population.trials[0], self._run)
        if verdict.status is Status.KEEP:
            self._reapply_waiting()

    def _reapply_waiting(self) -> None:
        """Make the edits of all waiting trials to the new champion."""
        for waiting in sorted(self._passed - self._work.busy):
            self._reapplied(waiting)

    def _reapplied(self, number: int) -> bool:
        """Make the edit of a waiting trial to the new champion, if it has to be; return whether something was done."""
        change = reapply(self._population.trials[number], self._population, self._settings)
        match change:
            case Moved():
                self._ledger.move(number, change.onto, change.program, change.description)
                self._passed.discard(number)
                self._submit_preflight(number)
            case Refusal():
                self._decide(number, Verdict(Status.NOT_BUILT, change.reason))
                self._repeats |= dict.fromkeys(change.again)
        return change is not None

    def _exhausted(self) -> str | None:
        population, settings = self._population, self._settings
        reason = settings.stuck_reason(population.decided[self._decided_before :]) or settings.budget.exhausted(
            trainings=population.trainings,
            wall_seconds=self._recorder.elapsed().wall_seconds,
            cost_usd=self._recorder.cost_usd,
        )
        settings.rest.end(bool(reason))
        return reason

    # Launching

    def _launch(self) -> None:
        """Fill the slots: first with trainings that verdicts need, then with new trials."""
        mine = self._work.trainings
        others = self._share.of_others
        measuring = mine | {(number, seed) for number, seed in others if seed is not None}
        steps = [step for _, step in self._steps() if isinstance(step, Measure)]
        wanted = trainings_wanted(steps, self._repeats, measuring, self._population)
        left = self._settings.budget.trainings_left(self._population.trainings + len(measuring))
        slots = min(self._slots - len(mine), left)
        for number, seed in list(wanted)[: max(0, int(slots))]:
            self._work.train(number, seed)
            del wanted[number, seed]
            slots, left = slots - 1, left - 1
        under_way = len(wanted) + sum(task.stage is not Stage.MEASURE for task in self._work.tasks.values())
        if self._population.champion is None:
            return
        left -= len({number for number, _ in others} - {number for number, _ in measuring})  # they will train too
        for _ in range(int(min(slots + self._settings.programs_ahead(self._slots), left)) - under_way):
            number = len(self._population.trials)
            try:
                proposal = self._proposer.propose(self._population)
            except NothingToProposeError as error:
                self._idle = "" if self._work.tasks or others else str(error)
                return
            self._ledger.propose(proposal)
            self._share.claim((number, None))
            self._work.propose(number)

    def _submit_preflight(self, number: int) -> None:
        if refusal := self._settings.gates.check_source(self._work.program(number), seed=self._settings.seed):
            self._ledger.evaluate(number, refusal)
            self._passed.add(number)
        else:
            self._work.preflight(number)

    # Collecting

    def _collect(self, finished: Collection[Future[Any]]) -> None:
        """Record what has finished, and tell the observer what is under way."""
        handlers: dict[Stage, Callable[[Task, Future[Any]], None]]
        handlers = {Stage.PROPOSE: self._proposed, Stage.PREFLIGHT: self._preflighted, Stage.MEASURE: self._measured}
        failures: list[ProviderError | TargetError] = []
        for future in sorted(finished, key=lambda each: self._work.tasks[each].number):
            task = self._work.tasks.pop(future)
            if not self._share.holds((task.number, task.seed)):
                continue  # another session took this one for dead, and does it
            try:
                handlers[task.stage](task, future)
            except ProviderError as error:  # first record what else has finished; at the end it would be of no use
                failures += [] if self._exhausted() else [error]
            except TargetError as error:
                if verdict := given_up(task, error, self._ledger):
                    handlers[task.stage](task, verdict)
                else:
                    failures.append(error)
        if failures:
            raise failures[0]
        self._observer.tick(running(self._work.tasks.values(), self._clock()))

    def _proposed(self, task: Task, future: Future[Mutation]) -> None:
        try:
            operator = self._settings.operator_for(self._population.trials[task.number].proposal)
            mutation = checked_mutation(future.result(), operator.name)
        except MutationError as error:
            self._decide(task.number, Verdict(Status.NOT_BUILT, str(error)), error.attempt)
            return
        if refusal := refuse(mutation, self._population, self._settings.acceptance):
            self._decide(task.number, Verdict(Status.NOT_BUILT, refusal.reason), mutation)
            self._repeats |= dict.fromkeys(refusal.again)
            return
        self._ledger.build(task.number, mutation)
        if not self._reapplied(task.number):
            self._submit_preflight(task.number)

    def _preflighted(self, task: Task, future: Future[Evaluation | None]) -> None:
        refusal = future.result()
        if refusal is not None:
            self._ledger.evaluate(task.number, refusal)
        elif self._reapplied(task.number):
            return
        self._passed.add(task.number)

    def _measured(self, task: Task, future: Future[Evaluation]) -> None:
        evaluation = future.result()
        self._recorder.add_busy(self._clock() - task.started)
        trial = self._population.trials[task.number]
        earlier = len(trial.evaluations)
        log = self._work.log(task.number, f"run-{task.seed}.log")
        if log.exists():  # rename it by its place in the order of the trainings
            log.replace(log.with_name(f"run-{earlier + 1}.log" if earlier else "run.log"))
        self._ledger.evaluate(task.number, evaluation, begun_verdicts=task.begun_verdicts)
        self._share.release((task.number, evaluation.seed))
        self._repeats.pop((task.number, evaluation.seed), None)
        if trial.decided is not None:
            self._recorder.measured_again(task.number)
        self._observer.measured(self._population.trials[task.number], evaluation)

    # Recording

    def _end(self, exhausted: str | None) -> Summary:
        """Record the end. Trials that cannot be confirmed any more are decided, so that each training has its row."""
        if self._interrupted:
            return self._recorder.record("stopped", self._interrupted)
        for trial, step in self._steps():
            if trial.evaluations and isinstance(step, Measure):
                status = Status.DISCARD if trial.number else Status.BASELINE
                early = Verdict(status, "the budget ended before it was measured again")
                self._decide(trial.number, early if trial.values else failed(trial) or early)
        done = bool(self._idle) or (exhausted or "").startswith(("budget", NOTHING_TO_PROPOSE))
        return self._recorder.record("finished" if done else "stopped", exhausted or "")
