"""Reads the trials of a search from its ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial

from operators.population import Population
from operators.trial import Status, Trial
from search.errors import UserError
from search.runs.journal import REPLAY_ERRORS, check_journal, open_journal
from search.runs.ledger_records import read_trial
from search.runs.rundir import RunDirectory

ELAPSED: Final = "elapsed"
BEGAN_WITH: Final = "began with"
"""Attributes of the study: the time taken, and the search whose trials were imported."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Time that a search has taken over all its sessions, up to its last verdict or the end of the last session.

    Attributes:
        wall_seconds: Wall time.
        busy_seconds: Time for which the evaluation slots were busy, summed over the slots.
    """

    wall_seconds: float = 0.0
    busy_seconds: float = 0.0


def read_population(run: RunDirectory) -> Population:
    """Read the trials of a search without changing it; it may be running.

    Raises:
        UserError: If there is no search, or its journal is damaged.
    """
    storage = _read_only(run)
    study_id = study_of(storage)
    population = Population() if study_id is None else read_all(run, storage, study_id)[0]
    if not population.trials:
        refuse_orphans(run)
    return population


def refuse_orphans(run: RunDirectory) -> None:
    """Refuse a run directory that has results but not their ledger.

    Raises:
        UserError: It has.
    """
    found = [path for path in (run.root / "trials", run.root / "programs") if path.exists()]
    if run.results.exists() and len(run.results.read_text(encoding="utf-8").splitlines()) > 1:
        found.append(run.results)
    if found:
        names = ", ".join(path.name for path in found)
        raise UserError(
            f"{run.root} has {names}, but its ledger, {run.journal.name}, has no trial: restore {run.journal.name} "
            "from a copy, or choose another name for a new search"
        )


def read_beginning(run: RunDirectory) -> str | None:
    """Return the earlier search that a search began with; None if there is none, or its import is not complete.

    Raises:
        UserError: If there is no search, or its journal is damaged.
    """
    storage = _read_only(run)
    study_id = study_of(storage)
    return None if study_id is None else storage.get_study_user_attrs(study_id).get(BEGAN_WITH)


def population_before(run: RunDirectory, number: int) -> Population:
    """Return the trials as they were when a given one was proposed: without later trials and later verdicts.

    Times are those of Optuna's clock. Trainings that a champion got after its verdict are always included.

    Raises:
        UserError: If there is no such search or trial, or the journal is damaged.
    """
    trials = read_population(run).trials
    if not 0 <= number < len(trials):
        raise UserError(f"{run.root} has no trial {number}: its trials are 0 to {len(trials) - 1}")
    storage = open_journal(run.journal)
    frozen = {trial.number: trial for trial in storage.get_all_trials(study_of(storage) or 0, deepcopy=False)}
    began = frozen[number].datetime_start
    return Population(tuple(_as_of(trial, frozen[trial.number].datetime_complete, began) for trial in trials[:number]))


def _read_only(run: RunDirectory) -> JournalStorage:
    if not run.journal.exists():
        raise UserError(f"{run.root} holds no search: there is no {run.journal.name}")
    check_journal(run.journal)
    return open_journal(run.journal)


def _as_of(trial: Trial, ended: datetime | None, now: datetime | None) -> Trial:
    if trial.decided is None or (ended and now and ended <= now):
        return trial
    return replace(trial, status=Status.PENDING, decided=None, detail="", tie=False, failure=None)


def study_of(storage: JournalStorage) -> int | None:
    """Return the id of the only study in a journal, if there is one yet."""
    studies = storage.get_all_studies()
    return storage.get_study_id_from_name(studies[0].study_name) if studies else None


def read_all(run: RunDirectory, storage: JournalStorage, study_id: int) -> tuple[Population, Elapsed]:
    """Return all trials of a study, and the time taken.

    Raises:
        UserError: If a record is damaged.
    """
    frozen = sorted(storage.get_all_trials(study_id, deepcopy=False), key=lambda trial: trial.number)
    later = storage.get_study_user_attrs(study_id)
    trials, clocks = list[Trial](), [Elapsed(**later[ELAPSED])] if ELAPSED in later else [Elapsed()]
    for record in frozen:
        trials.append(read_one(run, record, later, trials))
        with _damage(run, record):
            if verdict := record.user_attrs.get("verdict"):
                clocks.append(Elapsed(float(verdict["wall_seconds"]), float(verdict["busy_seconds"])))
    return Population(tuple(trials)), max(clocks, key=lambda clock: clock.wall_seconds)


def read_one(run: RunDirectory, record: FrozenTrial, later: Mapping[str, Any], earlier: Sequence[Trial]) -> Trial:
    """Return the trial of an Optuna trial; see `read_trial`.

    Raises:
        UserError: If the record is damaged.
    """
    with _damage(run, record):
        return read_trial(run, record, later, earlier)


@contextmanager
def _damage(run: RunDirectory, record: FrozenTrial) -> Iterator[None]:
    """Turn errors in reading a record into an error that names the trial."""
    try:
        yield
    except REPLAY_ERRORS as error:
        raise UserError(
            f"{run.journal}: trial {record.number} cannot be read ({type(error).__name__}: {error}); "
            "the ledger is damaged, or was written by another version: restore it or start a new run"
        ) from error
