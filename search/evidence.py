"""Chooses the earlier trainings by which a pre-flight judges whether a program fits into memory."""

from __future__ import annotations

from itertools import islice
from typing import Final

from operators.population import Population
from operators.trial import Trial
from target.evidence import NO_EVIDENCE, Evidence, OutOfMemory
from target.program import Program
from target.program.comparable import comparable

_FAILED: Final = 3  # each costs the pre-flight a build without memory
_TRAINED: Final = 2
_LATEST: Final = 50  # of those that failed: a search of thousands of trials may have hundreds


def evidence_for(program: Program, population: Population) -> Evidence:
    """Return the trainings that are comparable with one of a new program, if any of them ran out of memory.

    Of those that failed the latest ones count, of those that did not the ones with the most parameters.

    Args:
        program: The new program.
        population: All trials.
    """
    # Programs are compared last, and only until there are enough: that is dear, and this runs for each new program.
    failures = ((trial.program, _failure(trial)) for trial in population.out_of_memory[: -_LATEST - 1 : -1])
    failed = (failure for its, failure in failures if failure and its and comparable(program, its))
    latest = tuple(islice(failed, _FAILED))
    if not latest:
        return NO_EVIDENCE
    largest = sorted((trial for trial in population.decided if trial.scored), key=_parameters, reverse=True)
    trained = (trial.program for trial in largest if trial.program and comparable(program, trial.program))
    return Evidence(failed=latest, trained=tuple(islice(trained, _TRAINED)))


def _failure(trial: Trial) -> OutOfMemory | None:
    if trial.program is None:
        return None
    given = next((run.memory_bytes for run in trial.evaluations if run.trained and run.memory_bytes), None)
    return None if given is None else OutOfMemory(number=trial.number, program=trial.program, memory_bytes=given)


def _parameters(trial: Trial) -> int:
    return max((run.n_parameters or 0 for run in trial.evaluations), default=0)
