"""Mirrors a search in Weights & Biases; the search never waits for it. Offline, the runs wait in the folder."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from operators.secrets import redact
from search.errors import UserError
from search.printed import command
from search.runs.rundir import RunDirectory
from search.tracking.background import LOGGER, BackgroundTracker
from search.tracking.later import Finding
from search.wandb.mirror import WandbMirror
from search.wandb.runs import Runs, save_files, unmarked

_OFFLINE: Final = ("offline", "dryrun")


class WandbTracker(BackgroundTracker):
    """One run for each trial with a program and one for the search, in the group of the search or sweep.

    The key is that of `wandb login` or `WANDB_API_KEY`; without it the search goes on, and nothing is sent.

    Args:
        run: Folder of the search; the files of a trial must exist before the update that contains its verdict.
        name: Name of the search.
        project: Project of the runs.
        entity: User or team that owns the project; None for the user's own.
        mode: `online` or `offline`; None for that of `WANDB_MODE`, else `online`.
        close_seconds: The longest time that `close` takes.
        warn: Is called with a line about each outage.

    Raises:
        UserError: The extra is not installed.
    """

    def __init__(
        self,
        run: RunDirectory,
        name: str,
        project: str,
        entity: str | None = None,
        mode: str | None = None,
        *,
        close_seconds: float = 60.0,
        warn: Callable[[str], None] = LOGGER.warning,
    ) -> None:
        _require_wandb()
        self._run = run
        self._search = name
        self._project = project
        self._entity = entity
        self._mode = _mode(mode)
        self._url = ""
        super().__init__("wandb", f"project {project}", close_seconds=close_seconds, warn=warn)

    def load(self) -> tuple[type[Exception], ...]:
        """Import wandb, which takes a second."""
        import wandb

        return wandb.errors.Error, OSError

    def open(self) -> WandbMirror:
        """Open the run of the search.

        Raises:
            OSError: There is no key for the server.
        """
        _require_key(self._mode)
        runs = Runs(self._run, self._search, self._project, self._entity, self._mode)
        mirror = WandbMirror(self._run, self._search, runs)
        self._url = mirror.url
        return mirror

    @classmethod
    def record(cls, finding: Finding, run: RunDirectory, settings: Mapping[str, Any]) -> str:
        """Make a run of a finding, in the group of its search; one with the same title continues."""
        _require_wandb()
        import wandb

        mode, own_id = _mode(settings.get("mode")), hashlib.sha256(finding.title.encode()).hexdigest()[:8]
        try:
            _require_key(mode)
            runs = Runs(run, finding.search, settings["project"], settings.get("entity"), mode)
            made = runs.open(
                f"{finding.kind}-{own_id}", finding.title, unmarked(finding.tags), finding.kind, finding.note
            )
            made.summary.update(dict(finding.metrics))
            save_files(made, finding.files)
            made.finish()
        except (wandb.errors.Error, OSError) as error:
            return redact(f"not sent to wandb: {type(error).__name__}: {error}")
        return _to_sync(run) if mode in _OFFLINE else str(made.url or "")

    def hint(self) -> str | None:
        """Return the link to the run of the search, or the command that sends what was written offline."""
        if self._mode in _OFFLINE:
            return _to_sync(self._run)
        return self._url or None


def _require_wandb() -> None:
    if importlib.util.find_spec("wandb") is None:
        raise UserError("tracker=wandb needs wandb: pip install 'graft-search[wandb]'")


def _mode(given: str | None) -> str:
    return given or os.environ.get("WANDB_MODE") or "online"


def _require_key(mode: str) -> None:
    import wandb

    if mode == "online" and not wandb.login(prompt=False):
        raise OSError("there is no key: use `wandb login` or WANDB_API_KEY, or tracker.mode=offline")


def _to_sync(run: RunDirectory) -> str:
    """Return the command that sends what was written offline."""
    sync = f"cd {shlex.quote(str(run.root.absolute()))} && {command('wandb', 'sync', '--yes')}"
    return f"{sync}  sends the runs to wandb"
