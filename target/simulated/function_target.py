"""A target whose scores a Python function computes: for tasks that need no training, and for trying out a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from target.command.reported import MOST
from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.metric import metric_of
from target.program import Program
from target.program.contract import Contract, check_syntax
from target.simulated.target import SimulatedTarget

Score = Callable[[Program, int], float | None]
"""Returns the score of a program on a seed; None if the program fails. It runs in the process of the search."""


class FunctionTarget(SimulatedTarget):
    """Programs are scored by a function, one at a time, in the process of the search: it must not run their code.

    Args:
        score: Gets a program and a seed. Its `source` is the text, its `constants` the values of the UPPER_CASE ones.
        program: Source of the program that a search begins with.
        metric: What the score is called.
        direction: Whether a lower or a higher score is better.
        goal: What a program is for, as sentences for a language model.
        file: What the program is called, in messages and prompts.

    Raises:
        TargetError: An argument does not fit.
    """

    def __init__(
        self,
        score: Score,
        program: str,
        *,
        metric: str = "score",
        direction: Literal["minimize", "maximize"] = "minimize",
        goal: str = "",
        file: str = "program.py",
    ) -> None:
        if direction not in ("minimize", "maximize"):
            raise TargetError(f"direction must be minimize or maximize, got {direction!r}")
        if not metric.isidentifier():
            raise TargetError(f"metric must be a name of letters, digits and _, got {metric!r}")
        oracle = _Scored(score, sign=-1 if direction == "maximize" else 1)
        described = {"metric": {"name": metric, "direction": direction, "verified": True}, "file": file}
        super().__init__(lambda: (oracle, Program(program)), slots=1, described=described)
        better = "lower" if direction == "minimize" else "higher"
        self._name = f"{getattr(score, '__module__', '')}.{getattr(score, '__qualname__', type(score).__qualname__)}"
        self._contract = Contract(
            brief=f"{'Lower' if direction == 'minimize' else 'Raise'} `{metric}` of `{file}`.",
            goal=goal or f"You improve `{file}`. It is scored by `{metric}`: {better} is better.",
            rules=(f"`{file}` must be valid Python.",),
            check=lambda source: _check(source, file),
            metric=metric_of(described),
        )

    def __repr__(self) -> str:
        """Return what the score depends on, for the record of a search."""
        metric = self._described["metric"]
        return f"FunctionTarget({self._name}, {metric['name']}, {metric['direction']})"

    @property
    def limits(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def contract(self) -> Contract:
        """A program must be valid Python."""
        return self._contract

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Say who scores."""
        say(f"scores are computed by {self._name} in this process")
        return {"kind": "simulated", **self._described}


class _Scored:
    """Asks the function.

    Args:
        score: The function.
        sign: -1 if higher is better: the ledger minimizes.
    """

    def __init__(self, score: Score, *, sign: int) -> None:
        self._score = score
        self._sign = sign

    def truth(self, program: Program) -> float | None:
        """Return the score on seed 0; None if the program fails."""
        return self.evaluate(program, 0).score

    def evaluate(self, program: Program, seed: int) -> Evaluation:
        """Return the score on a seed."""
        value = self._score(program, seed)
        if value is None or not math.isfinite(value) or abs(value) > MOST:
            detail = f"its score is {value}, not a finite number of at most {MOST:g}"
            return Evaluation(outcome=Outcome.CRASHED, seed=seed, detail=detail)
        return Evaluation(outcome=Outcome.OK, seed=seed, score=self._sign * float(value))


def _check(source: str, file: str) -> None:
    check_syntax(source, file=file)
