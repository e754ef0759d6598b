"""Executors, which run evaluations: the protocol, and the one for this machine."""

from __future__ import annotations

import abc
import contextlib
import functools
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Protocol

from target.device import allot
from target.errors import TargetError, machine_errors
from target.evaluation import Evaluation
from target.evidence import NO_EVIDENCE, Evidence
from target.kind import Kind, place_of
from target.process.scratch import scratch_directory
from target.program import Program
from target.stopping import StopRule
from target.workers import Pool, WorkerProcess

TRIES: Final = 3
"""How often an evaluation is begun whose worker process dies on this machine."""


class Executor(Protocol):
    """Runs pre-flights and evaluations, several at a time. Futures raise `TargetError` and nothing else."""

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""

    def start(self) -> None:
        """Get ready; raises `TargetError` if the target cannot be evaluated here."""

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        """Check a program without training it; None if it passes, else the verdict.

        Args:
            program: The program.
            log: File for what it prints.
            evidence: What earlier trainings say about memory.
        """

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
        """Train a program with a seed and score it.

        Args:
            program: The program.
            seed: Seed of the training.
            log: File for what it prints.
            thorough: Run the more thorough probes, for a candidate for champion.
            holdout: Score the sealed split too: for a final report only, never for a decision of a search.
            stop: When to end the training early; None for never.
        """

    def close(self) -> None:
        """End everything at once; unfinished work raises `TargetError`. Closing twice is allowed."""


class PooledExecutor(abc.ABC):
    """An executor whose trainings and pre-flights are the tasks of two pools of workers.

    Args:
        kind: The target.
        preflight_workers: Number of pre-flights that run beside the evaluations, on this machine.
        least_preflight_workers: The least that it can be; 0 if the workers of the trainings can do pre-flights too.
    """

    def __init__(self, kind: Kind, *, preflight_workers: int, least_preflight_workers: int = 1) -> None:
        if preflight_workers < least_preflight_workers:
            least = f"executor.preflight_workers must be at least {least_preflight_workers}"
            raise TargetError(f"{least}, got {preflight_workers}")
        self._kind = kind
        self._preflight_workers = preflight_workers
        self._pools: dict[str, Pool] = {}
        self._scratch = contextlib.ExitStack()
        self._closed = False

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """How many evaluations run side by side."""

    @abc.abstractmethod
    def _make_training_pool(self, first: dict[str, Any]) -> Pool:
        """Return the pool of the trainings.

        Args:
            first: The request that makes a worker of this machine ready.
        """

    def start(self) -> None:
        """Prepare what the workers share, such as the corpus, and start them.

        Raises:
            TargetError: The target cannot be evaluated here.
        """
        with machine_errors("cannot make a directory for the workers"):
            scratch = self._scratch.enter_context(scratch_directory())
        first = first_request(self._kind, scratch)
        if starts := [functools.partial(WorkerProcess, {})] * self._preflight_workers:
            self._pools["preflight"] = Pool(starts, first, tries=TRIES)
        try:
            self._pools["evaluate"] = self._make_training_pool(first)
            for pool in self._pools.values():
                pool.start()
        except TargetError:
            self.close()
            raise

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        """Check a program without training it; None if it passes, else the verdict."""
        known = {"evidence": evidence.to_json()} if evidence.failed else {}
        request = {"preflight": {"source": program.source, "log": str(log.absolute()), **known}}
        name = "preflight" if self._preflight_workers else "evaluate"
        return self._pool(name).submit(request, lambda reply: reply and Evaluation.from_json(reply))

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
        """Train a program with a seed and score it."""
        arguments = {"source": program.source, "seed": seed, "log": str(log.absolute())}
        flags = {"thorough": thorough, "holdout": holdout, **({"stop": stop.to_json()} if stop else {})}
        return self._pool("evaluate").submit({"evaluate": {**arguments, **flags}}, Evaluation.from_json)

    def close(self) -> None:
        """End everything at once; unfinished work raises `TargetError`."""
        if self._closed:
            return
        self._closed = True
        for pool in self._pools.values():
            pool.abandon()
        for pool in self._pools.values():
            pool.join()
        self._scratch.close()

    def _pool(self, name: str) -> Pool:
        if self._closed or not self._pools:
            raise RuntimeError("the executor must be started, and not closed, to take work")
        return self._pools[name]


class LocalExecutor(PooledExecutor):
    """Runs evaluations in worker processes on this machine.

    A worker that dies is replaced once all of its processes are gone, and its job is run again.

    Args:
        kind: The target.
        workers: Number of evaluations side by side; None for one per GPU, or on a CPU for as many as fit its cores.
        preflight_workers: Number of pre-flights that run beside the evaluations; 0 for none: they take turns.

    Raises:
        TargetError: There are fewer GPUs than workers, or none for a target that trains on one.
    """

    def __init__(self, kind: Kind, *, workers: int | None = None, preflight_workers: int = 1) -> None:
        self._allotment = allot(kind, workers)
        kind = kind.with_threads(self._allotment.threads)
        super().__init__(kind, preflight_workers=preflight_workers, least_preflight_workers=0)

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""
        return self._allotment.slots

    def _make_training_pool(self, first: dict[str, Any]) -> Pool:
        environments = map(self._allotment.environment, range(self.slots))
        return Pool([functools.partial(WorkerProcess, own) for own in environments], first, tries=TRIES)


def first_request(kind: Kind, scratch: Path) -> dict[str, Any]:
    """Prepare what all workers of a machine share, and return the request that makes each of them ready.

    Args:
        kind: The target.
        scratch: A directory that lasts as long as the workers.

    Raises:
        TargetError: The target cannot be evaluated here.
    """
    settings = kind.describe(scratch)
    module = kind.evaluator
    return {
        "configure": {
            "evaluator": module,
            "path": place_of(module),
            "settings": settings,
            "scratch": str(scratch),
        }
    }
