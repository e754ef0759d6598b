"""Evaluates one program with one seed on an external target: runs its command, and finds its number.

The command is confined and its clock is ours, as for candidates that are scored here. But unless a scorer of ours
computes the number, it is the program's own: a program could report anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from target.command.advice import advice_on, advice_on_delay
from target.command.checkout import CommandSpace
from target.command.job import CommandJob
from target.command.programs import runnable, search_path, words_in_copy
from target.command.reported import Printed, figures_of_pattern, finite_figures, number, read_log
from target.command.score import CommandScorer, Reported
from target.command.spec import CommandSpec
from target.draft import Draft
from target.errors import TargetError, machine_errors
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
from target.feedback import DETAIL_CHARACTERS, CandidateFailure, failure_from_log
from target.launch.keeper import ZygoteKeeper
from target.launch.launcher import Zygote
from target.process.clock import Excess, Limits
from target.process.runlog import RunLog
from target.program import Program
from target.program.contract import ContractError, check_size, check_syntax
from target.sandbox import Confinement, layers_of, namespaces, scrubbed_environment
from target.sandbox.access import access_to
from target.sandbox.grants import SHARED_MEMORY, libraries
from target.stopping import StopRule

SEED_VARIABLE: Final = "GRAFT_SEED"
_MEMORY_FIGURE: Final = "peak_vram_mb"  # as autoresearch prints it: MiB of the device
_PARAMETERS_FIGURE: Final = "num_params_M"
_MEBIBYTE: Final = 1 << 20
_STAGE: Final = "the command"


class CommandEvaluator(ZygoteKeeper):
    """Evaluates programs, one at a time. Linux only; the process that uses it becomes a child subreaper.

    Args:
        spec: The target.
        checkout: The copy of its directory that each command gets a copy of.
        scratch: Where workspaces are made; None for the system's temporary directory.
        lifelines: Descriptors that stay open as long as the zygote lives.
        scorer: Finds the number; None for the number that the program reports.
    """

    def __init__(
        self,
        spec: CommandSpec,
        *,
        checkout: Path,
        scratch: Path | None = None,
        lifelines: Sequence[int] = (),
        scorer: CommandScorer | None = None,
    ) -> None:
        super().__init__(sandbox=spec.sandbox, scratch=scratch)
        _require_namespaces(spec)
        self._spec = spec
        self._checkout = checkout
        self._lifelines = tuple(lifelines)
        self._scorer = scorer or Reported(spec)
        self._chooses = scorer is None and spec.metric_file is None  # which of the values in an output counts

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Evaluation | None:
        """Check the text of a program; nothing is run or logged, and its memory is not judged."""
        del log, evidence
        try:
            check_program(self._spec, program.source)
        except ContractError as error:
            verified = self._scorer.verified
            return Evaluation(outcome=Outcome.REJECTED, seed=0, trained=False, detail=str(error), verified=verified)
        return None

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
        """Run the command with a program, and score it; there is nothing to probe, no holdout and no curve.

        Raises:
            TargetError: The evaluation cannot be done here.
        """
        del thorough, holdout, stop
        draft = Draft(seed=seed, verified=self._scorer.verified)

        def run(zygote: Zygote) -> float:
            draft.forget(keep=("tries", "verified"))
            with machine_errors("the evaluation cannot continue"), draft.timed("wall_seconds"):
                return self._run(zygote, program, log, draft)

        try:
            value = self._twice(run, draft, "tries")
        except CandidateFailure as failure:
            return draft.end(failure.outcome, detail=failure.detail)
        return draft.end(Outcome.OK, score=-value if self._spec.maximize else value)

    def _run(self, zygote: Zygote, program: Program, log: Path, draft: Draft) -> float:
        """Return the deciding number.

        Raises:
            CandidateFailure: There is no valid number.
        """
        spec = self._spec
        limits = Limits(
            cpu_seconds=None,
            wall_seconds=spec.limit_seconds,
            memory_bytes=spec.memory_bytes,
            disk_bytes=spec.disk_bytes,
        )
        with CommandSpace(self._scratch, self._checkout, spec, program.source) as space:
            with RunLog(log) as run_log:
                with run_log.pipe() as log_fd, zygote.fork(self._job(space, draft.seed), (log_fd,)) as child:
                    ending = child.wait(limits)
                tail = run_log.tail()
            draft.isolation = child.isolation
            draft.train_seconds = child.clock.wall_seconds
            text = log.read_bytes().decode(errors="replace")
            read = self._read(text)
            printed = read.figures
            _note_claims(draft, printed, max(ending.peak_bytes, child.clock.peak_resident_bytes))
            if exceeded := ending.exceeded or child.clock.exceeded(limits):
                raise CandidateFailure(exceeded.outcome, self._stopped(exceeded, tail))
            if ending.status:
                raise self._failed(failure_from_log(tail, ending.status, stage=_STAGE), printed, tail)
            space.refuse_changes()
            value, further = self._scorer.number(space, printed, tail)
            draft.reported = {**draft.reported, **further}
            draft.remark = read.choice(spec.metric) if self._chooses else ""
        return value

    def _read(self, log: str) -> Printed:
        """Return what an output has; the deciding figure as the settings say where it is."""
        spec = self._spec
        if spec.metric_pattern is None:
            return read_log(log, metric=spec.metric)
        figures = read_log(log).figures
        figures.pop(spec.metric, None)
        matches = figures_of_pattern(log, spec.metric_pattern)
        return Printed({**figures, spec.metric: matches[-1]} if matches else figures)

    def _failed(self, failure: CandidateFailure, printed: dict[str, str], tail: str) -> CandidateFailure:
        """Return a failure with the number printed before it, if any, and advice if the cause is known."""
        metric = self._spec.metric
        scored = number(printed.get(metric)) is not None
        lead = (
            f"it printed {metric}: {printed[metric]}, but failed afterwards, so that does not count: " if scored else ""
        )
        hint = _hint(advice_on(tail))
        detail = failure.detail[: DETAIL_CHARACTERS - len(lead) - len(hint)]
        return CandidateFailure(failure.outcome, f"{lead}{detail}{hint}", killed=failure.killed)

    def _stopped(self, exceeded: Excess, tail: str) -> str:
        if exceeded.outcome is not Outcome.TIMED_OUT:
            return f"{_STAGE} was stopped, {exceeded.words}"
        return (
            f"{_STAGE} must end by itself within {self._spec.limit_seconds:g} seconds, but it was still running with "
            f"{exceeded.words}{_hint(advice_on_delay(tail))}"
        )

    def _job(self, space: CommandSpace, seed: int) -> CommandJob:
        spec = self._spec
        # the address of a socket must be short
        temporary = SHARED_MEMORY if spec.has_confined_workers else str(space.root / "tmp")
        home = {"HOME": str(space.root / "home"), "TMPDIR": temporary}
        return CommandJob(
            confinement=Confinement(
                workspace=space.root,
                layers=layers_of(spec.sandbox),
                access=access_to(spec.device),
                readable=tuple(_readable(spec)),
                runnable=(*runnable(spec), *sorted(libraries())),  # any package: there is no held-out text to protect
                withheld=(),
                memory_bytes=None,
                file_bytes=spec.disk_bytes,
                cpu_seconds=None,
                listed_calls=False,
                processes="free",
                worker_processes=spec.has_confined_workers,
            ),
            command=words_in_copy(spec, space.work),
            environment=scrubbed_environment(spec.threads)
            | {"PATH": search_path(spec)}
            | home
            | dict(spec.environment)
            | {SEED_VARIABLE: str(seed)},
        )

    def _new_zygote(self) -> Zygote:
        view = None
        if self._spec.sandbox != "off" and not namespaces.missing():
            view = namespaces.View(
                writable=(self._scratch,),
                readable=(*_readable(self._spec), *runnable(self._spec)),
                access=access_to(self._spec.device),
                shared_memory=self._spec.has_confined_workers,
            )
        return Zygote(threads=self._spec.threads, lifelines=self._lifelines, view=view, child="target.command.child")


def _hint(advice: str | None) -> str:
    return f"\nadvice: {advice}" if advice else ""


def _require_namespaces(spec: CommandSpec) -> None:
    """Refuse worker processes where they would share memory with the machine.

    Raises:
        TargetError: Namespaces are missing.
    """
    if spec.has_confined_workers and (missing := namespaces.missing()):
        raise TargetError(
            f"target.worker_processes=true needs a /dev/shm of its own, but this machine lacks {missing}; load data in "
            "the program itself (num_workers=0), or set target.sandbox=off"
        )


def check_program(spec: CommandSpec, source: str) -> None:
    """Check a text: its size, and its syntax if it is Python.

    Raises:
        ContractError: It breaks the rules.
    """
    if spec.file.endswith(".py"):
        check_syntax(source, file=spec.file)
    else:
        check_size(source, file=spec.file)


def _readable(spec: CommandSpec) -> list[Path]:
    linked = [spec.root / name for name in spec.links] + [spec.user_home / name for name in spec.home]
    return [path.resolve() for path in (*linked, *spec.readable) if path.exists()]


def _note_claims(draft: Draft, printed: dict[str, str], peak_bytes: int) -> None:
    """Note the figures of the output, and memory as measured if the output does not have it."""
    figures = finite_figures(dict(printed))
    memory, parameters = figures.get(_MEMORY_FIGURE, 0.0), figures.get(_PARAMETERS_FIGURE, 0.0)
    draft.reported = figures
    draft.peak_memory_bytes = int(memory * _MEBIBYTE) if memory > 0 else peak_bytes or None
    draft.n_parameters = int(parameters * 1e6) if parameters > 0 else None


def open_evaluator(settings: dict[str, Any], *, scratch: Path, lifelines: Sequence[int]) -> CommandEvaluator:
    """Return the evaluator of an external target; see `target.kind.OpenEvaluator`."""
    spec = CommandSpec.from_config(settings["spec"])
    return CommandEvaluator(spec, checkout=Path(settings["checkout"]), scratch=scratch, lifelines=lifelines)
