"""The work that a session has under way: proposals in threads, pre-flights and trainings in the executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from operators.trial import Trial
from search.evidence import evidence_for
from search.runs.ledger import Ledger
from search.runs.rundir import RunDirectory
from search.settings import Settings
from search.tasks import Stage, Task, call_in_thread
from target.evaluation import Evaluation
from target.executor import Executor
from target.program import Program


class UnderWay:
    """Starts work, and waits for it.

    Args:
        settings: The search.
        run: Its folder.
        ledger: Its trials.
        executor: Evaluates programs.
        clock: Monotonic seconds.

    Attributes:
        tasks: What is under way, by the future of its result.
    """

    def __init__(
        self,
        settings: Settings,
        run: RunDirectory,
        ledger: Ledger,
        executor: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._run = run
        self._ledger = ledger
        self._executor = executor
        self._clock = clock
        self.tasks: dict[Future[Any], Task] = {}

    @property
    def trainings(self) -> set[tuple[int, int]]:
        """The trainings under way: (trial number, seed)."""
        return {(task.number, task.seed) for task in self.tasks.values() if task.seed is not None}

    @property
    def busy(self) -> set[int]:
        """The trials for which something is under way."""
        return {task.number for task in self.tasks.values()}

    def waiting(self) -> list[Trial]:
        """Return the trials of this session without a verdict for which nothing is under way."""
        busy, share = self.busy, self._ledger.share
        pending = self._ledger.population.pending
        return [trial for trial in pending if trial.number not in busy and share.holds((trial.number, None))]

    def propose(self, number: int) -> None:
        """Have an operator make the program of a trial."""
        population = self._ledger.population
        proposal = population.trials[number].proposal
        future = call_in_thread(self._settings.operator_for(proposal).mutate, proposal, population)
        self.tasks[future] = Task(stage=Stage.PROPOSE, number=number, started=self._clock())

    def preflight(self, number: int) -> None:
        """Check the program of a trial."""
        if self._settings.gates.command is None:
            future = self._preflight(number)
        else:
            future = call_in_thread(self._gated, number)
        self.tasks[future] = Task(stage=Stage.PREFLIGHT, number=number, started=self._clock())

    def _preflight(self, number: int) -> Future[Evaluation | None]:
        program = self.program(number)
        evidence = evidence_for(program, self._ledger.population)
        return self._executor.preflight(program, self.log(number, "preflight.log"), evidence=evidence)

    def _gated(self, number: int) -> Evaluation | None:
        """Ask the user's command, then check the program: what costs no pre-flight comes first."""
        log = self.log(number, "gate.log")
        refusal = self._settings.gates.check_by_command(self.program(number), log, seed=self._settings.seed)
        return refusal or self._preflight(number).result()

    def train(self, number: int, seed: int) -> None:
        """Train the program of a trial, which no other session does."""
        population = self._ledger.population
        trial = population.trials[number]
        self._ledger.share.claim((number, seed))
        future = self._executor.evaluate(
            self.program(number),
            seed,
            self.log(number, f"run-{seed}.log"),
            thorough=not number or bool(trial.evaluations),  # (candidate for) champion
            stop=self._settings.stop_rule(trial, population),
        )
        begun = len(population.decided)
        self.tasks[future] = Task(
            stage=Stage.MEASURE, number=number, seed=seed, started=self._clock(), begun_verdicts=begun
        )

    def wait(self, seconds: float, *, is_paused: bool) -> Collection[Future[Any]]:
        """Wait until something is finished, or others may have done something; return what is finished.

        Args:
            seconds: The longest time.
            is_paused: Whether the user has paused the search.
        """
        if self.tasks:
            return wait(self.tasks, timeout=seconds, return_when=FIRST_COMPLETED).done
        assert is_paused or self._ledger.share.of_others, "nothing is under way, and no budget is used up"
        time.sleep(seconds)
        return ()

    def program(self, number: int) -> Program:
        """Return the program of a trial, which must have one."""
        program = self._ledger.population.trials[number].program
        assert program is not None, f"trial {number} has no program"
        return program

    def log(self, number: int, name: str) -> Path:
        """Return the path of a log of a trial, whose folder is made."""
        folder = self._run.trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
