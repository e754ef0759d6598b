"""A kind of target, as executors see it: its devices, and how a worker process makes its evaluator.

A new kind is one folder: settings, an evaluator with `open_evaluator`, and a child that the zygote forks. It need not
be a part of Graft: docs/examples/accuracy is a package of its own. Executors, workers and the zygote name no kind; they
pass on its settings.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from target.device.cards import Card, ListedCard
from target.errors import TargetError
from target.evaluation import Evaluation
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
from target.stopping import StopRule


class Evaluator(Protocol):
    """Evaluates programs in a worker process, one at a time."""

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Evaluation | None:
        """Check a program without training it; None if it passes, else the verdict.

        Args:
            program: The program.
            log: File for what it prints.
            evidence: What earlier trainings say about memory; given only if one of them has `Evaluation.memory_bytes`.
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
    ) -> Evaluation:
        """Train a program with a seed and score it.

        Args:
            program: The program.
            seed: Seed of the training.
            log: File for what it prints.
            thorough: Run the more thorough probes, for a candidate for champion.
            holdout: Score the sealed split too.
            stop: When to end the training early; it is passed only if the target's trainings report a curve.
        """


class OpenEvaluator(Protocol):
    """The function `open_evaluator` of the module `Kind.evaluator`."""

    def __call__(
        self, settings: dict[str, Any], *, scratch: Path, lifelines: Sequence[int]
    ) -> AbstractContextManager[Evaluator]:
        """Make the evaluator.

        Args:
            settings: The result of `Kind.describe`, passed as JSON.
            scratch: Where its workspaces are made.
            lifelines: Descriptors that stay open in all processes that it starts.
        """


def place_of(module: str) -> str:
    """Return the directory from which this process imports a module of a package: workers may not find it otherwise."""
    package = importlib.util.find_spec(module.partition(".")[0])
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise TargetError(f"the evaluator of a kind of target must be a module of a package, got {module!r}")
    return str(Path(next(iter(folders))).absolute().parent)


class Kind(Protocol):
    """One target whose programs are run, with its settings."""

    evaluator: str
    """Name of the module with `open_evaluator`; a worker imports it."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where programs run."""

    @property
    def threads(self) -> int:
        """CPU threads of one training."""

    def cards(self) -> Sequence[Card | ListedCard]:
        """Return the GPUs that it can use; none if it uses the CPU. Raises `TargetError` if it needs a missing GPU."""

    def with_threads(self, threads: int) -> Self:
        """Return the same target with another number of CPU threads."""

    def describe(self, scratch: Path) -> dict[str, Any]:
        """Prepare what all workers share, and return the settings of the evaluator as plain JSON types.

        Args:
            scratch: A directory that lasts as long as the workers.

        Raises:
            TargetError: The target cannot be evaluated here.
        """

    def data_hashes(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the hashes of the data that must be equal on all hosts, by what they are.

        Args:
            settings: The result of `describe` on one host.
        """
