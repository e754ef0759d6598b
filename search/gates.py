"""Limits of the user on a program's figures: one beyond a limit is rejected, however good its score is.

Still one scalar decides between programs; a gate only says which programs may compete. The cheapest gate comes first:
the length of the source is judged before the pre-flight, measured figures after the first training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from operators.trial import Status, Trial
from search.acceptance import Verdict
from search.errors import UserError
from search.shell import run_shell
from target.evaluation import Evaluation, Outcome
from target.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Largest figures of a program; None for no limit.

    Attributes:
        source_lines: Lines of its source.
        n_parameters: Parameters of the trained model, as the scorer counts them.
        peak_memory_gb: Peak memory of a training.
        command: A command of the user, for a shell. It gets the program on standard input, and rejects it by any status
            but 0; the last line of its output is the reason.
        seconds: A command that takes longer rejects the program too.
    """

    source_lines: float | None = None
    n_parameters: float | None = None
    peak_memory_gb: float | None = None
    command: str | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("source_lines", "n_parameters", "peak_memory_gb", "seconds"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise UserError(f"gates.{name} must be positive, got {limit:g}")

    @property
    def sentences(self) -> tuple[str, ...]:
        """The limits, for the author of a program."""
        limits = (
            ("The source may have at most {:g} lines.", self.source_lines),
            ("The model may have at most {:g} parameters.", self.n_parameters),
            ("A training may use at most {:g} GB of memory at its peak.", self.peak_memory_gb),
        )
        return tuple(text.format(limit) for text, limit in limits if limit is not None)

    def check_source(self, program: Program, *, seed: int) -> Evaluation | None:
        """Return the refusal of a program that is too long; None if it passes.

        Args:
            program: The program.
            seed: Seed of the refusal's evaluation: no training has one.
        """
        lines = len(program.source.splitlines())
        if self.source_lines is None or lines <= self.source_lines:
            return None
        return _refusal(f"its source has {lines} lines, and gates.source_lines={self.source_lines:g}; shorten it", seed)

    def check_by_command(self, program: Program, log: Path, *, seed: int) -> Evaluation | None:
        """Return the refusal of a program by the user's command; None if it passes. It blocks.

        Args:
            program: The program.
            log: Gets the output of the command.
            seed: Seed of the refusal's evaluation: no training has one.
        """
        if self.command is None:
            return None
        source = program.source
        problem = run_shell(self.command, log, stdin=source, seconds=self.seconds, limit="gates.seconds")
        return _refusal(f"gates.command {problem}", seed) if problem else None

    def check_figures(self, trial: Trial) -> Verdict | None:
        """Return the verdict on a trial whose measured figures are beyond a limit; None if they are not."""
        for run in trial.evaluations:
            memory_gb = None if run.peak_memory_bytes is None else run.peak_memory_bytes / 1e9
            for name, found, limit in (
                ("n_parameters", run.n_parameters, self.n_parameters),
                ("peak_memory_gb", memory_gb, self.peak_memory_gb),
            ):
                if limit is None:
                    continue
                if found is None:
                    text = f"gates.{name}={limit:g}, and this target does not measure {name}; give gates.{name}=null"
                    return Verdict(Status.REJECTED, text)
                if found > limit:
                    return Verdict(Status.REJECTED, f"{name} is {found:.6g}, and gates.{name}={limit:g}")
        return None


def _refusal(detail: str, seed: int) -> Evaluation:
    return Evaluation(outcome=Outcome.REJECTED, seed=seed, trained=False, detail=detail)


NO_GATES: Final = Gates()
