"""The runs of one search in wandb: those of its trials, its own, and those of what was found later."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from search.runs.rundir import RunDirectory
from search.tracking.place import id_of, place_of

_ID_CHARACTERS: Final = 16  # of the search's id, in the ids of its runs
_GROUP_CHARACTERS: Final = 120
_SHOWN: Final = "graft."  # what tags begin with in MLflow; a run's settings need no such mark


class Runs:
    """Opens the runs of a search. Opening one again continues it, as it has the same id.

    Args:
        run: Folder of the search.
        name: Its name.
        project: Project of the runs.
        entity: Who owns the project; None for the user's own.
        mode: Of wandb.
    """

    def __init__(self, run: RunDirectory, name: str, project: str, entity: str | None, mode: str) -> None:
        self.place = place_of(run, name)
        self._id = id_of(run.root)[:_ID_CHARACTERS]
        self._common: dict[str, Any] = {"project": project, "entity": entity, "mode": mode, "dir": str(run.root)}

    def open(self, own_id: str, name: str, config: Mapping[str, Any], kind: str, note: str = "") -> Any:
        """Return a run.

        Args:
            own_id: What distinguishes it among the runs of the search.
            name: Its name.
            config: Its settings.
            kind: What it is of.
            note: Its description.
        """
        import wandb

        quiet = wandb.Settings(
            silent=True,
            console="off",
            symlink=False,  # a link in the folder of a search could lead out of it
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            init_timeout=30,
        )
        return wandb.init(
            **self._common,
            id=f"{self._id}-{own_id}",
            name=name,
            group=self.place.name[-_GROUP_CHARACTERS:],
            job_type=kind,
            config=dict(config),
            notes=note,
            resume="allow",
            reinit="create_new",
            settings=quiet,
        )


def save_files(run: Any, paths: Iterable[Path]) -> None:
    """Add to a run those of some files that are there and complete."""
    for path in paths:
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            copy = Path(shutil.copy(path, run.dir))
            run.save(str(copy), base_path=run.dir, policy="now")


def unmarked(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags without the mark that they need in MLflow, and without what is only for MLflow."""
    return {key.removeprefix(_SHOWN): value for key, value in tags.items() if key.startswith(_SHOWN)}
