"""The experiment of a search in MLflow: found by the id of its search or sweep, or made, with its saved views."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from search.mlflow.views import saved_views
from search.tracking.place import ID_CHARACTERS, Place
from target.metric import Metric

OWNER: Final = "graft.search_id"
"""Tag of an experiment: the id of the search or sweep that it belongs to."""

OF_TRAININGS: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Tags of each experiment: MLflow shows its pages for trainings, not those for language models."""


def experiment_of(client: Any, place: Place, database: Path | None) -> Any:
    """Return the experiment of a search, made if it is missing.

    Args:
        client: MLflow's client.
        place: Which experiment.
        database: The database of an SQLite store; artifacts lie beside it.

    Raises:
        OSError: Its names are taken.
    """
    return _find(client, place) or _make(client, place, database)


def save_views(client: Any, experiment: Any, place: Place, metric: Metric) -> None:
    """Save the views that the link to an experiment opens; the first trial must have begun, so the metric is known."""
    for key, value in saved_views(place.differing, experiment.creation_time or 0, metric).items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)


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
        folder = re.sub(r"[^\w.-]", "_", place.name) + f"-{place.owner[:ID_CHARACTERS]}"
        location = (database.parent / "mlartifacts" / folder).as_uri()
    tags = {OWNER: place.owner, **OF_TRAININGS}
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
