"""Where a search is shown in MLflow: one experiment for all searches of a sweep, and one for each other search."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from search.mlflow.views import saved_views
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory

OWNER: Final = "graft.search_id"
"""Tag of an experiment: the id of the search or sweep that it belongs to."""

_SWEEPS: Final = "sweeps/"
_DIFFERING: Final = re.compile(r"(?:^|,)([\w.@]+)=")
_ID_CHARACTERS: Final = 6  # of an id, in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The experiment of a search.

    Attributes:
        name: Its name, if no other search or sweep has it.
        owner: Id of the search or sweep that it belongs to.
        differing: Settings that differ between the searches of a sweep; empty for a search on its own.
    """

    name: str
    owner: str
    differing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """The names that its experiment may have; an older search of the same name keeps the first."""
        return self.name, f"{self.name} {self.owner[:_ID_CHARACTERS]}"


def place_of(run: RunDirectory, name: str) -> Place:
    """Return the experiment of a search.

    Args:
        run: Its folder.
        name: Its name; that of a search in a sweep has the name of the sweep in front.
    """
    sweep, _, own = name.rpartition("/")
    if not sweep.startswith(_SWEEPS):
        return Place(name=name, owner=id_of(run.root))
    return Place(name=sweep, owner=id_of(run.root.parent), differing=tuple(_DIFFERING.findall(own)) or ("strategy",))


def id_of(folder: Path) -> str:
    """Return an id that distinguishes the search or sweep in a folder from others of its name; it is stored there."""
    path = folder / ".search_id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    with _locked(folder):  # two searches of a sweep may begin together
        if not path.exists():
            write_atomically(path, uuid.uuid4().hex)
    return path.read_text(encoding="ascii").strip()


def experiment_of(client: Any, place: Place, database: Path | None) -> Any:
    """Return the experiment of a search, made if it is missing, with the views that its link opens.

    Args:
        client: MLflow's client.
        place: Which experiment.
        database: The database of an SQLite store; artifacts lie beside it.

    Raises:
        OSError: Its names are taken.
    """
    found = _find(client, place) or _make(client, place, database)
    for key, value in saved_views(place.differing, found.creation_time or 0).items():
        if found.tags.get(key) != value:
            client.set_experiment_tag(found.experiment_id, key, value)
    return found


def _find(client: Any, place: Place) -> Any:
    for name in place.names:
        found = client.get_experiment_by_name(name)
        if found is not None and found.tags.get(OWNER) == place.owner and found.lifecycle_stage == "active":
            return found
    return None


def _make(client: Any, place: Place, database: Path | None) -> Any:
    from mlflow import MlflowException

    location = None
    if database:
        folder = re.sub(r"[^\w.-]", "_", place.name) + f"-{place.owner[:_ID_CHARACTERS]}"
        location = (database.parent / "mlartifacts" / folder).as_uri()
    tags = {OWNER: place.owner, "mlflow.experimentKind": "custom_model_development"}
    for name in place.names:
        try:
            number = client.create_experiment(name, artifact_location=location, tags=tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if found := _find(client, place):  # another search of the sweep made it just now
                return found
        else:
            return client.get_experiment(number)
    raise OSError(
        f"the experiments {place.names[0]!r} and {place.names[1]!r} are another search's or deleted; restore or purge "
        "them"
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
