"""An executor and an observer with a script, for tests of the loop: everything else there is real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from operators.population import Population
from operators.trial import Trial
from search.observer import Running
from search.runs.summary import Summary
from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
from target.stopping import StopRule

Score = Callable[[Program, int], float | None]


class ScriptedExecutor:
    """Scores programs with a function; None is a crash. Work is finished when the observer ticks, youngest first.

    Args:
        score: From program and training seed to score.
        slots: Trainings side by side.
        refuse: Programs that do not pass the pre-flight.
        fail_at: Training, counted from 1, at which the machine breaks down.
        finish_all: Finish all that is under way at each tick, not the youngest alone.
        fails: Programs with which the machine breaks down.
    """

    isolation = ("scripted",)

    def __init__(
        self,
        score: Score,
        *,
        slots: int = 2,
        refuse: Callable[[Program], bool] = lambda program: False,
        fail_at: int | None = None,
        finish_all: bool = False,
        fails: Callable[[Program], bool] = lambda program: False,
    ) -> None:
        self.slots = slots
        self.trained: list[tuple[str, int]] = []
        self.stops: dict[tuple[str, int], StopRule | None] = {}
        self.probed: list[tuple[str, int]] = []  # those of them that were to be thorough
        self.most_at_once = 0
        self.under_way: Sequence[Running] = ()  # in the whole search, at this tick
        self._score = score
        self._refuse = refuse
        self._fail_at = fail_at
        self._finish_all = finish_all
        self._fails = fails
        self._open: list[tuple[Future[Evaluation], Evaluation | TargetError]] = []

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        done: Future[Evaluation | None] = Future()
        refusal = Evaluation(outcome=Outcome.REJECTED, seed=0, trained=False, detail="no build_model")
        done.set_result(refusal if self._refuse(program) else None)
        return done

    def evaluate(
        self,
        program: Program,
        seed: int,
        log: Path,
        *,
        thorough: bool = False,
        holdout: bool = False,
        stop: StopRule | None = None,
    ) -> Future[Evaluation]:
        future: Future[Evaluation] = Future()
        self.trained.append((program.id, seed))
        if thorough:
            self.probed.append((program.id, seed))
        self.stops[program.id, seed] = stop
        log.write_text("trained\n")
        value = self._score(program, seed)
        outcome = Outcome.CRASHED if value is None else Outcome.OK
        result = Evaluation(
            outcome=outcome,
            seed=seed,
            score=value,
            holdout_bpb=value + 0.1 if holdout and value is not None else None,
            train_seconds=1.0,
            detail="" if value else "exit 1",
        )
        broken = len(self.trained) == self._fail_at or self._fails(program)
        self._open.append((future, TargetError("the device fell off the bus") if broken else result))
        self.most_at_once = max(self.most_at_once, len(self._open))
        return future

    def finish(self) -> None:
        """Finish the youngest training, or all that are under way."""
        for _ in range(len(self._open) if self._finish_all else min(1, len(self._open))):
            future, result = self._open.pop()
            if isinstance(result, TargetError):
                future.set_exception(result)
            else:
                future.set_result(result)


class ScriptedObserver:
    """Lets the executor finish a training at each tick, and calls back after each verdict."""

    def __init__(
        self, executor: ScriptedExecutor, after: Callable[[Population], None] = lambda population: None
    ) -> None:
        self.summaries: list[Summary] = []
        self.said: list[str] = []
        self.measurements: list[tuple[int, int]] = []
        self._executor = executor
        self._after = after

    def recorded(self, population: Population, summary: Summary) -> None:
        self.summaries.append(summary)
        self._after(population)

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        self.measurements.append((trial.number, evaluation.seed))

    def say(self, text: str) -> None:
        self.said.append(text)

    def tick(self, running: Sequence[Running]) -> None:
        self._executor.under_way = running
        self._executor.finish()
