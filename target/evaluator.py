"""Evaluates one program with one seed: trains it under our clock, takes its weights, scores and probes them.

pre-flight   static checks, then import, build, one step and probes in a child; costs no training
train        a child runs main(); the clock is ours, and all of its processes are ended afterwards
score        a fresh child serves the weights; the numbers are computed here
replica      a second fresh child, which did not see the scored pass, answers the probes
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import numpy as np

from target import stages
from target.corpus import CorpusFiles
from target.corpus.readable import read_access
from target.draft import Draft
from target.errors import machine_errors
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
from target.feedback import CandidateFailure
from target.launch.keeper import ZygoteKeeper
from target.launch.launcher import Zygote
from target.launch.layers import refuse_what_stops, start_device
from target.launch.workspace import Weights
from target.preflight import preflight
from target.process.runlog import RunLog
from target.program import Program
from target.sandbox import layers_of, namespaces
from target.sandbox.access import Access, access_to
from target.scoring import Text
from target.scoring.logits import Buffers, buffers_for
from target.scoring.scorer import Validation
from target.spec import TargetSpec
from target.stages import Bench
from target.stopping import StopRule

_OF_DEVICES: Final = re.compile(r"\b(CUDA|CUBLAS|cuBLAS|CUDNN|cuDNN|HIP)")  # what torch says about a GPU


class Evaluator(ZygoteKeeper):
    """Evaluates programs, one at a time. Linux only; the process that uses it becomes a child subreaper.

    Args:
        spec: The target.
        corpus: Its text.
        scratch: Where workspaces are made; None for the system's temporary directory.
        echo: Gets a copy of what candidates print.
        lifelines: Descriptors that stay open as long as the zygote lives.
        buffers: Memory for the logits at scoring; None for the kind that suits the device of the target.
        access: Access that candidates get to the device; None for what the device of the target needs.
        memory_bytes: What a training may use; None for the limit on a CPU, and if it is not known on a GPU.

    Raises:
        TargetError: The target cannot be evaluated here.
    """

    def __init__(
        self,
        spec: TargetSpec,
        corpus: CorpusFiles,
        *,
        scratch: Path | None = None,
        echo: BinaryIO | None = None,
        lifelines: Sequence[int] = (),
        buffers: Buffers | None = None,
        access: Access | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        super().__init__(sandbox=spec.sandbox, scratch=scratch)
        self._spec = spec
        self._corpus = corpus
        self._echo = echo
        self._lifelines = tuple(lifelines)
        self._packages, self._withheld = read_access(spec, corpus)
        self._buffers = buffers or buffers_for(spec.device)
        self._access = access or access_to(spec.device)
        self._memory_bytes = memory_bytes or (spec.memory_bytes if spec.device == "cpu" else None)
        self._validation = Validation.load(corpus, n_rows=spec.scoring.rows, sequence_tokens=spec.sequence_tokens)
        self._contrast = Validation.load_contrast(
            corpus,
            n_rows=spec.scoring.rows,
            batch_rows=spec.scoring.batch_rows,
            sequence_tokens=spec.sequence_tokens,
        )
        self._device_started = False
        self._rng = np.random.default_rng()  # from the system's entropy: candidates must not be able to predict it

    def __enter__(self) -> Self:
        super().__enter__()
        self._running_zygote()
        return self

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Evaluation | None:
        """Check a program without training it.

        Args:
            program: The program.
            log: File for what it prints.
            evidence: What earlier trainings say about memory.

        Returns:
            None if it passes, else the verdict, with `trained=False`.

        Raises:
            TargetError: The check cannot be done here.
        """
        draft = Draft(seed=0, trained=False)

        def check(zygote: Zygote) -> None:
            with self._bench(zygote, program, log) as bench:
                stages.check_text(program)
                preflight(bench, draft, evidence)

        try:
            self._twice(check, draft, "tries")
        except CandidateFailure as failure:
            return draft.end(failure.outcome, detail=failure.detail)
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
        """Train a program, and score its weights.

        Args:
            program: The program.
            seed: Seed of the training.
            log: File for what it prints.
            thorough: Run the more thorough probes, for a candidate for champion.
            holdout: Score the sealed split too: for a final report only, never for a decision of a search.
            stop: When to end the training early; None for never.

        Raises:
            TargetError: The evaluation cannot be done here.
        """
        draft = Draft(seed=seed)
        try:
            with self._bench(self._running_zygote(), program, log) as bench, draft.timed("wall_seconds"):
                stages.check_text(program)
                weights = self._train(bench, draft, stop)
                with draft.timed("score_seconds"), contextlib.closing(weights):
                    texts = bench.texts(thorough=thorough, holdout=self._holdout if holdout else None)
                    score = self._measure(bench, weights, texts, draft)
        except CandidateFailure as failure:
            draft.memory_bytes = self._memory_bytes if failure.outcome is Outcome.OUT_OF_MEMORY else None
            return draft.end(failure.outcome, detail=failure.detail)
        return draft.end(Outcome.OK, score=score)

    def _train(self, bench: Bench, draft: Draft, stop: StopRule | None) -> Weights:
        def train(zygote: Zygote) -> Weights:
            self._start_device_once(zygote)
            draft.forget(keep=("tries",))
            with self._device_checked(zygote):
                return stages.train(dataclasses.replace(bench, zygote=zygote), draft.seed, draft, stop)

        return self._twice(train, draft, "tries")

    def _measure(self, bench: Bench, weights: Weights, texts: Sequence[Text], draft: Draft) -> float:
        """Score the weights: a second try scores the same weights, and must give the same answers as the first."""

        def measure(zygote: Zygote) -> float:
            with self._device_checked(zygote):
                return stages.measure(dataclasses.replace(bench, zygote=zygote), weights, texts, draft)

        return self._twice(measure, draft, "score_tries")

    @functools.cached_property
    def _holdout(self) -> Validation:
        rows, length = self._spec.scoring.rows, self._spec.sequence_tokens
        return Validation.load(self._corpus, n_rows=rows, sequence_tokens=length, holdout=True)

    def _start_device_once(self, zygote: Zygote) -> None:
        """Start the GPU in a confined child before the first training, so that a failure is not blamed on a candidate.

        Raises:
            TargetError: It does not start; the message names the layer that prevents it.
        """
        if self._device_started or self._spec.device == "cpu":
            return
        layers = layers_of(self._spec.sandbox)
        with machine_errors("cannot start the device"):
            said = start_device(zygote, self._spec.device, layers, self._access, self._scratch)
        if said is not None:
            refuse_what_stops(self._spec.device, said)
        self._device_started = True

    @contextlib.contextmanager
    def _device_checked(self, zygote: Zygote) -> Iterator[None]:
        """Start the GPU again after a failure that a broken GPU causes too: it would fail every program from then on.

        Raises:
            TargetError: It does not start.
        """
        try:
            yield
        except CandidateFailure as failure:
            if failure.outcome is Outcome.TIMED_OUT or _OF_DEVICES.search(failure.detail):
                self._device_started = False
                self._start_device_once(zygote)
            raise

    def bench(self, program: Program, log: Path) -> contextlib.AbstractContextManager[Bench]:
        """Return what the stages of an evaluation need, for callers that run them one by one."""
        return self._bench(self._running_zygote(), program, log)

    @contextlib.contextmanager
    def _bench(self, zygote: Zygote, program: Program, log: Path) -> Iterator[Bench]:
        with machine_errors("the evaluation cannot continue"), RunLog(log, echo=self._echo) as run_log:
            yield Bench(
                spec=self._spec,
                corpus=self._corpus,
                validation=self._validation,
                contrast=self._contrast,
                scratch=self._scratch,
                zygote=zygote,
                program=program,
                log=run_log,
                rng=self._rng,
                buffers=self._buffers,
                access=self._access,
                packages=self._packages,
                withheld=self._withheld,
                memory_bytes=self._memory_bytes,
            )

    def _new_zygote(self) -> Zygote:
        return Zygote(threads=self._spec.threads, lifelines=self._lifelines, view=self._view())

    def _view(self) -> namespaces.View | None:
        if self._spec.sandbox == "off" or namespaces.missing():
            return None
        return namespaces.View(
            writable=(self._scratch,),
            readable=(self._corpus.public, *self._packages),
            withheld=tuple(path for path in self._withheld if path.is_dir()),
            access=self._access,
        )


def open_evaluator(settings: dict[str, Any], *, scratch: Path, lifelines: Sequence[int]) -> Evaluator:
    """Return the evaluator of a target that is trained here; see `target.kind.OpenEvaluator`."""
    spec, corpus = TargetSpec.from_config(settings["spec"]), CorpusFiles.from_json(settings["corpus"])
    memory_bytes = settings.get("card_bytes")
    return Evaluator(spec, corpus, scratch=scratch, lifelines=lifelines, memory_bytes=memory_bytes)
