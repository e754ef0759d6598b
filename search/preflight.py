"""Lends the pre-flights of a search's executor to operators that make more programs than they give."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.population import Population
from search.evidence import evidence_for
from target.errors import TargetError
from target.executor import Executor
from target.program import Program


class Preflight:
    """Checks a program as the executor would; says that nothing is wrong while no executor is lent."""

    def __init__(self) -> None:
        self._executor: Executor | None = None

    @contextmanager
    def lent(self, executor: Executor) -> Iterator[None]:
        """Use a started executor until the block ends."""
        self._executor = executor
        try:
            yield
        finally:
            self._executor = None

    def __call__(self, program: Program, population: Population) -> str:
        """Return why a program cannot train; empty if nothing is wrong, or if this cannot be found out now.

        Args:
            program: The program.
            population: All trials: some may have run out of memory.
        """
        executor = self._executor
        if executor is None:
            return ""
        with tempfile.TemporaryDirectory(prefix="graft-preflight-") as folder:
            try:
                log = Path(folder) / "preflight.log"
                refusal = executor.preflight(program, log, evidence=evidence_for(program, population)).result()
            except TargetError:  # the trial has a pre-flight of its own, which reports what is wrong with the machine
                return ""
        return "" if refusal is None else refusal.detail or refusal.outcome.value
