"""The stage before a training: the pre-flight child, what it is given, and what its end means."""

from __future__ import annotations

import os
from typing import Final

from target.boundary.job import BUILD, EARLIER, IMPORT, PASSED, PROBE, REFUSED, STEP, TOO_LARGE, Role
from target.draft import Draft
from target.evaluation import Outcome
from target.evidence import Evidence
from target.feedback import CandidateFailure, failure_from_log, refusal
from target.launch.launcher import Ending
from target.launch.workspace import Workspace
from target.stages import Bench

_MARKS_BYTES: Final = 64

_PREFLIGHT_STAGES: Final = {
    IMPORT: "the import of train.py",
    BUILD: "build_model(vocab_size)",
    STEP: "the first training step",
    PROBE: "the causality probe at random weights",
}


def preflight(bench: Bench, draft: Draft, evidence: Evidence) -> None:
    """Run the pre-flight child.

    Args:
        bench: The evaluation.
        draft: Gets what is found.
        evidence: What earlier trainings say about memory; what ran out of less than there is here does not count.

    Raises:
        CandidateFailure: The program does not pass.
    """
    seconds = bench.spec.preflight_seconds
    limits = bench.limits(cpu_seconds=seconds, wall_seconds=seconds * bench.spec.stall_factor)
    marks_fd, child_marks_fd = os.pipe()
    with os.fdopen(marks_fd, "rb", buffering=0) as marks_file, bench.workspace(Role.PREFLIGHT) as space:
        _give(evidence, space, bench.memory_bytes)
        try:
            ending, child = bench.run(bench.job(Role.PREFLIGHT, space, cpu_seconds=seconds), limits, child_marks_fd)
        finally:
            os.close(child_marks_fd)
        draft.isolation = child.isolation
        marks = marks_file.read(_MARKS_BYTES)
    _judge_preflight(marks, ending, bench.log.tail(), seconds)


def _give(evidence: Evidence, space: Workspace, memory_bytes: int | None) -> None:
    """Put the programs of the evidence where the child finds them."""
    folder = space.root / EARLIER
    failed = [each for each in evidence.failed if memory_bytes is not None and each.memory_bytes >= memory_bytes]
    sources = {f"failed-{each.number}.py": each.program.source for each in failed}
    sources |= {f"trained-{index}.py": program.source for index, program in enumerate(evidence.trained)}
    if failed:
        folder.mkdir()
        for name, source in sources.items():
            (folder / name).write_text(source, encoding="utf-8", newline="")


def _judge_preflight(marks: bytes, ending: Ending, tail: str, limit_seconds: float) -> None:
    stages = [_PREFLIGHT_STAGES[bytes([mark])] for mark in marks if bytes([mark]) in _PREFLIGHT_STAGES]
    stage = f"pre-flight: {stages[-1] if stages else 'its start'}"
    if ending.exceeded:
        if ending.exceeded.outcome is not Outcome.TIMED_OUT:
            raise CandidateFailure(ending.exceeded.outcome, f"{stage} {ending.exceeded.words}")
        raise CandidateFailure(
            Outcome.REJECTED,
            f"{stage} must end within {limit_seconds:g} CPU seconds, but was still running with "
            f"{ending.exceeded.words}; look for an endless loop, and do the work in main()",
        )
    if marks.endswith(TOO_LARGE):
        raise CandidateFailure(Outcome.OUT_OF_MEMORY, f"pre-flight: it cannot fit: {refusal(tail)}")
    if marks.endswith(REFUSED):
        raise CandidateFailure(Outcome.REJECTED, refusal(tail))
    if ending.status:
        raise failure_from_log(tail, ending.status, stage=stage)
    if not marks.endswith(PASSED):
        raise CandidateFailure(Outcome.REJECTED, f"{stage} ended the process; only main() may exit")
