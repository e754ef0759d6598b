"""What evaluators have in common: a zygote that is replaced when it dies, a directory for workspaces, a second try."""

from __future__ import annotations

import abc
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from target.draft import Draft, Tries
from target.errors import DiskFullError, disk_is_full, machine_errors
from target.evaluation import Outcome
from target.feedback import CandidateFailure
from target.launch.launcher import Zygote, ZygoteDied
from target.process.trees import remove_or_set_aside
from target.sandbox import refuse_missing_layers
from target.spec import Sandbox

_ROOM_BYTES: Final = 64 << 20  # with less free space a program may fail because of files of others

_Result = TypeVar("_Result")


class ZygoteKeeper(abc.ABC):
    """Holds a zygote inside its `with` block; the process that uses it becomes a child subreaper.

    Args:
        sandbox: `strict` refuses to start where a layer is missing.
        scratch: Where its directory for workspaces is made; None for the system's temporary directory.
    """

    def __init__(self, *, sandbox: Sandbox, scratch: Path | None) -> None:
        self._sandbox = sandbox
        self._parent = scratch
        self._zygote: Zygote | None = None

    def __enter__(self) -> Self:
        if self._sandbox == "strict":
            refuse_missing_layers()
        with machine_errors("cannot make a directory for workspaces"):
            self._scratch = Path(tempfile.mkdtemp(prefix="graft-", dir=self._parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_zygote()
        remove_or_set_aside(self._scratch)

    @property
    def zygote_pid(self) -> int:
        """Process id of the zygote."""
        return self._running_zygote().pid

    @abc.abstractmethod
    def _new_zygote(self) -> Zygote:
        """Start a zygote."""

    def _twice(self, work: Callable[[Zygote], _Result], draft: Draft, tries: Tries) -> _Result:
        """Do the work, and repeat it once if the program may not be to blame for its failure.

        These failures are: the zygote died, the process was killed and not by us, or the disk of the workspace is full.
        A program can arrange to be killed. So the second try is recorded, and `work` must ensure that a program gains
        nothing from it.

        Args:
            work: What to do.
            draft: What the evaluation has found so far.
            tries: Name of the field that counts the tries.
        """
        try:
            return work(self._running_zygote())
        except ZygoteDied:
            self._end_zygote()
        except CandidateFailure as failure:
            if not failure.killed and self._has_room():
                raise
        except (OSError, DiskFullError) as error:
            if not self._filled_up(error):
                raise
        setattr(draft, tries, 2)
        try:
            return work(self._running_zygote())
        except (OSError, DiskFullError) as error:
            if not self._filled_up(error):
                raise
            raise CandidateFailure(
                Outcome.CRASHED,
                "the disk was full twice while the program ran, and has room now that its files are gone; write less",
            ) from error
        except CandidateFailure as failure:
            if self._has_room():
                raise
            raise DiskFullError(
                f"less than {_ROOM_BYTES >> 20} MiB are free in {self._scratch}, where programs work, so it is "
                f"unclear whether the program or the full disk is to blame for a failure ({failure.detail})"
            ) from failure
        except ZygoteDied as death:
            self._end_zygote()
            raise CandidateFailure(
                Outcome.CRASHED,
                f"the parent of the program's process was killed twice while it ran ({death}); "
                "a program may signal no process but its own children",
            ) from death

    def _filled_up(self, error: OSError | DiskFullError) -> bool:
        """Return whether the disk of the workspaces or of the log was full, and is no longer full after clean-up.

        The program's files are gone by now, and those of others are still there. So the program filled the disk.
        """
        cause = error.__cause__ if isinstance(error, DiskFullError) else error
        if not isinstance(cause, OSError) or not disk_is_full(cause):
            return False
        named = Path(cause.filename).parent if isinstance(cause.filename, str) else self._scratch
        places = (self._scratch, named if named.is_dir() else self._scratch)
        return all(shutil.disk_usage(place).free >= _ROOM_BYTES for place in places)

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._scratch).free >= _ROOM_BYTES

    def _running_zygote(self) -> Zygote:
        if self._zygote is None:
            self._zygote = self._new_zygote()
        return self._zygote

    def _end_zygote(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()
