"""The stages of an evaluation: train, score. Each is a function that returns, or raises the reason."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from target.boundary.job import Job, Role
from target.corpus import CorpusFiles
from target.draft import Draft
from target.evaluation import Outcome
from target.feedback import CandidateFailure, failure_from_log
from target.launch.curve_watch import CurveWatch
from target.launch.launcher import Child, Ending, Zygote
from target.launch.workspace import Weights, Workspace
from target.process.clock import Excess, Limits, TreeClock
from target.process.runlog import RunLog
from target.program import Program
from target.program.contract import ContractError, check_source
from target.running_curve import running_loss_file
from target.sandbox import Confinement, layers_of
from target.sandbox.access import NO_DEVICE, Access
from target.sandbox.grants import libraries
from target.scoring import Text, measure_served
from target.scoring.logits import Buffers
from target.scoring.scorer import Validation
from target.scoring.served import ServedModel, ServingLimits, serve
from target.spec import TargetSpec
from target.stopping import StopRule

# Seconds between the limit and the kill: for saving, leaving the interpreter and our checks. The same for all programs.
GRACE_SECONDS: Final = 0.5
_RLIMIT_MARGIN_SECONDS: Final = 2  # so that our kill comes first, with its reason
_PREFLIGHT_TOKENS: Final = 512  # of a row: a GPU's model takes minutes for whole rows on a CPU

# System directories with text that a model could be trained on, and from which no library is loaded.
_NOT_TO_SERVE: Final = ("/usr/games", "/usr/local/share", "/usr/local/src", "/usr/share", "/usr/src")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The data that the stages of one evaluation share.

    Attributes:
        spec: The target.
        corpus: Its text.
        validation: The rows of the score.
        contrast: The rows of D5.
        scratch: Where workspaces are made.
        zygote: Forks the children.
        program: The program.
        log: The program's output.
        rng: The scorer's randomness, unknown to candidates.
        buffers: Makes the memory for logits.
        access: What candidates need for the device of the target.
        packages: Paths of packages that candidates may use beside those of torch.
        withheld: Paths that candidates may not read, in any directory.
        memory_bytes: What a training may use: of the card, or the limit on a CPU; None if that is not known.
    """

    spec: TargetSpec
    corpus: CorpusFiles
    validation: Validation
    contrast: Validation
    scratch: Path
    zygote: Zygote
    program: Program
    log: RunLog
    rng: np.random.Generator
    buffers: Buffers
    access: Access
    packages: tuple[Path, ...]
    withheld: tuple[Path, ...]
    memory_bytes: int | None = None

    def workspace(self, role: Role, *, seed: int = 0) -> Workspace:
        """Make a workspace; only a training gets the path of the training text."""
        spec = self.spec
        run = {
            "mode": role.value,
            "seed": seed,
            "device": "cpu" if role is Role.PREFLIGHT else spec.device,
            "clock": spec.clock,
            "threads": spec.threads,
            "limit_seconds": spec.limit_seconds,
            "finish_seconds": spec.finish_seconds,
            "vocab_size": spec.corpus.vocab_size,
            "sequence_tokens": spec.sequence_tokens,
        }
        if role is Role.TRAIN:
            run["public"] = str(self.corpus.public)
        return Workspace(self.scratch, self.program.source, run)

    def job(self, role: Role, space: Workspace, *, cpu_seconds: float | None = None) -> Job:
        """Describe a child."""
        spec, preflight = self.spec, role is Role.PREFLIGHT
        return Job(
            role=role,
            confinement=Confinement(
                workspace=space.root,
                layers=layers_of(spec.sandbox),
                access=NO_DEVICE if preflight else self.access,
                readable=(*((self.corpus.public,) if role is Role.TRAIN else ()), *self.packages),
                runnable=tuple(sorted(libraries())) if spec.packages is None else (),
                withheld=tuple(self._withheld(role)),
                memory_bytes=spec.memory_bytes if spec.device == "cpu" else None,
                file_bytes=spec.disk_bytes,
                cpu_seconds=None if cpu_seconds is None else int(cpu_seconds) + _RLIMIT_MARGIN_SECONDS,
                listed_calls=preflight or self.access == NO_DEVICE,  # the calls of a driver are not all known
                processes="counted" if spec.processes else "none",
            ),
            device=spec.device,
            threads=spec.threads,
            vocab_size=spec.corpus.vocab_size,
            batch_rows=spec.scoring.batch_rows,
            sequence_tokens=min(spec.sequence_tokens, _PREFLIGHT_TOKENS) if preflight else spec.sequence_tokens,
            tolerance_nats=spec.scoring.tolerance_nats,
            memory_bytes=self.memory_bytes if preflight else None,
            weights_bytes=spec.weights_bytes if preflight else None,
        )

    def _withheld(self, role: Role) -> Iterator[Path]:
        """Yield the paths that a child may not read: the held-out text, and what its role does not need."""
        yield from self.withheld
        if role is not Role.TRAIN:
            yield self.corpus.public
        if role is Role.SERVE:
            yield from map(Path, _NOT_TO_SERVE)

    def texts(self, *, thorough: bool, holdout: Validation | None = None) -> tuple[Text, ...]:
        """Draw the questions for a model, on the validation text and on each other text that gives a number.

        Args:
            thorough: For a candidate for champion: cut each row, and measure the contrast too.
            holdout: The rows of a final report; they make it thorough.
        """
        rows = {"validation": self.validation}
        if thorough:
            rows["contrast"] = self.contrast
        if holdout is not None:
            rows["holdout"] = holdout
        return tuple(
            Text.draw(name, each, self.spec.scoring, self.spec.sequence_tokens, self.rng, thorough=len(rows) > 1)
            for name, each in rows.items()
        )

    def limits(self, *, cpu_seconds: float | None, wall_seconds: float) -> Limits:
        """Return the limits of a child: time as given, memory and disk from the target."""
        return Limits(
            cpu_seconds=cpu_seconds,
            wall_seconds=wall_seconds,
            memory_bytes=self.spec.memory_bytes if self.spec.device == "cpu" else None,
            disk_bytes=self.spec.disk_bytes,
        )

    def run(
        self, job: Job, limits: Limits, *fds: int, look: Callable[[TreeClock], Excess | None] = lambda _: None
    ) -> tuple[Ending, Child]:
        """Run a child to its end; afterwards none of its processes is alive and the log has all of its output."""
        with self.log.pipe() as log_fd, self.zygote.fork(job, (log_fd, *fds)) as child:
            ending = child.wait(limits, look)
        return ending, child

    @contextlib.contextmanager
    def served(self, weights: Weights) -> Iterator[ServedModel]:
        """Serve the weights from a fresh child."""
        with (
            self.workspace(Role.SERVE) as space,
            serve(
                self.zygote,
                self.job(Role.SERVE, space),
                weights,
                self.log,
                ServingLimits(
                    start_seconds=self.spec.scoring.start_seconds,
                    pass_seconds=self.spec.scoring.pass_seconds,
                    clock=self.spec.clock,
                    stall_factor=self.spec.stall_factor,
                    holdings=self.limits(cpu_seconds=None, wall_seconds=math.inf),
                ),
                self.buffers,
            ) as model,
        ):
            yield model


def check_text(program: Program) -> None:
    """Check the text of a program.

    Raises:
        CandidateFailure: It breaks the contract.
    """
    try:
        check_source(program.source)
    except ContractError as error:
        raise CandidateFailure(Outcome.REJECTED, str(error)) from error


def train(bench: Bench, seed: int, draft: Draft, stop: StopRule | None = None) -> Weights:
    """Run main() under the clock, and return the weights it saved.

    They count only if the process ended by itself before the end of limit and grace: a program that saves and then
    keeps training gains nothing.

    Args:
        bench: The evaluation.
        seed: Seed of the training.
        draft: Gets what is found.
        stop: When to end the training early; None for never.

    Raises:
        CandidateFailure: There are no valid weights.
    """
    spec = bench.spec
    limit = spec.limit_seconds + GRACE_SECONDS
    on_cpu_clock = spec.clock == "cpu"
    limits = (
        bench.limits(cpu_seconds=limit, wall_seconds=spec.limit_seconds * spec.stall_factor)
        if on_cpu_clock
        else bench.limits(cpu_seconds=None, wall_seconds=limit)
    )
    with bench.workspace(Role.TRAIN, seed=seed) as space:
        job = bench.job(Role.TRAIN, space, cpu_seconds=limit if on_cpu_clock else None)
        watch = CurveWatch(stop or StopRule(), space, spec, bench.log.path)
        with running_loss_file(bench.log.path):
            ending, child = bench.run(job, limits, look=watch.look)
        draft.failed_check = watch.failed
        clock = child.clock
        draft.isolation = child.isolation
        draft.train_seconds = clock.cpu_seconds if on_cpu_clock else clock.wall_seconds
        draft.curve = space.curve()
        draft.epochs = space.epochs()
        draft.statistics = space.statistics()
        if spec.device == "cpu":
            draft.peak_memory_bytes = max(ending.peak_bytes, clock.peak_resident_bytes)
        if exceeded := ending.exceeded or clock.exceeded(limits):
            raise _advised(CandidateFailure(exceeded.outcome, _stopped(exceeded, spec)), bench, draft)
        if ending.status:
            raise _advised(failure_from_log(bench.log.tail(), ending.status, stage="training"), bench, draft)
        space.refuse_changes()
        weights = space.take_weights(spec.weights_bytes)
    if weights is None:
        raise CandidateFailure(Outcome.CRASHED, "weights: main ended without prepare.finish(model); call it last")
    draft.weights_sha256 = weights.sha256
    return weights


def _stopped(exceeded: Excess, spec: TargetSpec) -> str:
    if exceeded.outcome is Outcome.PRUNED:
        return f"stopped {exceeded.words}"
    if exceeded.outcome is not Outcome.TIMED_OUT:
        return f"training was stopped, {exceeded.words}"
    kind = "CPU seconds" if spec.clock == "cpu" else "seconds"
    return (
        f"training must end by itself within {spec.limit_seconds:g} {kind}, but it was still running with "
        f"{exceeded.words}; stop when prepare.seconds_left() is less than one more step takes"
    )


def _advised(failure: CandidateFailure, bench: Bench, draft: Draft) -> CandidateFailure:
    """Return a failure of a training; one of time or memory before the first step says what may be too large."""
    if draft.curve or failure.outcome not in (Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY):
        return failure
    hint = bench.spec.too_large(bench.program) or "a smaller model or batch may help"
    detail = f"{failure.detail}; it reported no step: {hint}"
    return CandidateFailure(failure.outcome, detail, killed=failure.killed)


def measure(bench: Bench, weights: Weights, texts: Sequence[Text], draft: Draft) -> float:
    """Return the validation bits per byte of the weights, after they pass the probes on each text.

    Args:
        bench: The evaluation.
        weights: What was trained.
        texts: From `Bench.texts`.
        draft: Gets what is found.

    Raises:
        CandidateFailure: The model cannot be scored, or a probe refuses it.
    """
    return measure_served(lambda: bench.served(weights), texts, bench.spec.scoring, bench.rng, draft)
