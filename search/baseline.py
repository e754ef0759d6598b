"""What a search requires of its trial 0."""

from __future__ import annotations

from collections.abc import Iterator

from operators.trial import Status, Trial
from search.errors import SeedProgramError, UserError
from search.runs.rundir import RunDirectory
from target.program import Program
from target.program.contract import Contract, ContractError


def require_valid(program: Program, contract: Contract) -> None:
    """Refuse a seed program that breaks a rule which can be checked without running it, such as that of syntax.

    Raises:
        UserError: It does.
    """
    try:
        contract.check(program.source)
    except ContractError as error:
        raise UserError(
            f"the seed program breaks a rule of its target: {error}; fix it, or give another with target.program=FILE"
        ) from error


def require_same_seed_program(first: Trial, program: Program, run: RunDirectory) -> None:
    """Refuse to continue a search with another seed program.

    Args:
        first: Trial 0, with its program.
        program: The seed program now.
        run: The folder of the search.

    Raises:
        UserError: The programs differ.
    """
    if first.program and first.program.id != program.id and not first.imported:
        advice = "restore them or choose another name"
        if _has_failed(first):
            advice = f"the first did not score ({first.status.value}), so choose another name, or remove {run.root}"
        raise UserError(
            f"{run.root} began with program {first.program.id}, the seed program is now {program.id}: "
            f"its file or target.constants changed; {advice}"
        )


def require_baseline(first: Trial, run: RunDirectory) -> None:
    """Refuse to search without a score of the seed program.

    Args:
        first: Trial 0.
        run: The folder of the search.

    Raises:
        SeedProgramError: It has a verdict and no score.
    """
    if not _has_failed(first):
        return
    lead, advice = "the seed program does not score, so there is nothing to search from", ""
    if first.values:
        lead = "the seed program fails too often for a search: programs are compared with it on several seeds"
        advice = "; mend it, or try other training seeds: another name, and another seed"
    where = f"its logs are in {run.trial(0)}"
    raise SeedProgramError(f"{lead}: {first.status.value}: {first.detail or 'no detail'}; {where}{advice}")


def remarks(trial: Trial, seed_variable: str) -> Iterator[str]:
    """Yield what the user should know of a trial if it is the seed program and has a score; nothing for all others.

    Args:
        trial: The trial.
        seed_variable: Where a program should read the seed of its training; empty if it cannot miss it.
    """
    if trial.status is not Status.BASELINE:
        return
    if len(trial.values) != len(trial.evaluations):
        yield (
            f"warning: the seed program failed once: {trial.detail}; the search goes on, and compares on other seeds. "
            "Programs made from it may fail as often"
        )
    if seed_variable and len(trial.values) > 1 and len(set(trial.values.values())) == 1:
        yield (
            f"warning: the seed program has exactly the same score on {len(trial.values)} training seeds. If chance "
            "plays a part in it, it ignores its seed: then a second training confirms nothing, and a lucky program is "
            f"kept. Let it read {seed_variable}, and begin anew. If chance plays no part, acceptance=naive saves the "
            "second trainings"
        )
    if remark := next((each.remark for each in trial.evaluations if each.remark), ""):
        yield f"the seed program: {remark}"


def _has_failed(first: Trial) -> bool:
    return first.decided is not None and first.status is not Status.BASELINE
