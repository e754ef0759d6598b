"""Trainings that are computed instead of run: the common parts of `target=surrogate` and `target=landscape`."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
from target.program.contract import TRAINED, Contract, ContractError
from target.stopping import StopRule

_Result = TypeVar("_Result")


class Oracle(Protocol):
    """Knows the result of a training of a program."""

    def truth(self, program: Program) -> float | None:
        """Return the noise-free score of a program; None if its training fails."""

    def evaluate(self, program: Program, seed: int) -> Evaluation:
        """Return one training, with noise and failures that the program and the seed determine."""


class SimulatedExecutor:
    """Evaluates immediately, in this process.

    Args:
        oracle: Knows the results.
        slots: Evaluations side by side, as the search sees it.
        contract: The rules for a program.
    """

    def __init__(self, oracle: Oracle, *, slots: int, contract: Contract = TRAINED) -> None:
        if slots < 1:
            raise TargetError(f"target.slots must be at least 1, got {slots}")
        self._oracle = oracle
        self._slots = slots
        self._contract = contract
        self._open = False

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""
        return self._slots

    def start(self) -> None:
        """Accept work from now on."""
        self._open = True

    def preflight(
        self,
        program: Program,
        log: Path,  # noqa: ARG002 -- nothing is printed
        *,
        evidence: Evidence = NO_EVIDENCE,  # noqa: ARG002 -- memory is not simulated
    ) -> Future[Evaluation | None]:
        """Check the form of a program."""
        self._require_open()
        return _done(check(program, self._contract))

    def evaluate(
        self,
        program: Program,
        seed: int,
        log: Path,  # noqa: ARG002 -- nothing is printed
        *,
        thorough: bool = False,  # noqa: ARG002 -- there is nothing to probe
        holdout: bool = False,  # noqa: ARG002 -- there is no sealed text
        stop: StopRule | None = None,  # noqa: ARG002 -- no time passes
    ) -> Future[Evaluation]:
        """Compute a training."""
        self._require_open()
        return _done(check(program, self._contract) or self._oracle.evaluate(program, seed))

    def close(self) -> None:
        """Take no more work."""
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise RuntimeError("the executor must be started, and not closed, to take work")


def check(program: Program, contract: Contract = TRAINED) -> Evaluation | None:
    """Return the verdict on a program that breaks a rule; None if it breaks none."""
    try:
        contract.check(program.source)
    except ContractError as error:
        return Evaluation(outcome=Outcome.REJECTED, seed=0, trained=False, detail=str(error))
    return None


def noise(program: Program, seed: int, sd: float) -> float:
    """Return the deviation of one training from the noise-free score: normal, and the same at every call."""
    return random.Random(f"noise {program.id} {seed}").gauss(0, sd)


def _done(result: _Result) -> Future[_Result]:
    future: Future[_Result] = Future()
    future.set_result(result)
    return future


class SimulatedTarget:
    """A target whose results come from an oracle.

    Args:
        oracle: Makes the oracle and the seed program; called once, when they are first needed.
        slots: Evaluations side by side, as the search sees it.
        described: The target's entry in environment.json.
    """

    def __init__(
        self, oracle: Callable[[], tuple[Oracle, Program]], *, slots: int, described: Mapping[str, Any]
    ) -> None:
        self._make = functools.cache(oracle)
        self._slots = slots
        self._described = described

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a training, as sentences for the author of a program."""
        return ("Nothing is trained: a model of trainings says what the program would have scored.",)

    @property
    def kind(self) -> None:
        """None: nothing is run."""
        return

    @property
    def contract(self) -> Contract:
        """The rules for a program: the same as if it were trained."""
        return TRAINED

    @property
    def direction(self) -> Path | None:
        """None: the project's own program.md."""
        return None

    @property
    def ahead_per_slot(self) -> int:
        """0: there is no waiting time to use."""
        return 0

    @property
    def curve_seconds(self) -> None:
        """None: there is no curve."""
        return

    def seed_program(self) -> Program:
        """Return the program that a search begins with."""
        return self._make()[1]

    def make_executor(self, make: object) -> SimulatedExecutor:
        """Return an executor that evaluates immediately, in this process; `make` is for targets that train."""
        del make
        return SimulatedExecutor(self._make()[0], slots=self._slots, contract=self.contract)

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Say that nothing here is measured."""
        say("simulated trainings: scores are computed by a model, and no time passes")
        return {"kind": "simulated", **self._described}
