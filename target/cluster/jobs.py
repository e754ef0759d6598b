"""One job of a batch system: whether anything is left of it, and how it is cancelled."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any, Final, Protocol

from target.errors import TargetError, machine_errors
from target.process.processes import descendants, kill, usage

LOOK_SECONDS: Final = 1.0
_CANCELS: Final = 12  # two minutes: Slurm itself kills the processes of a cancelled job after 30 s
_LOOKS_PER_CANCEL: Final = 10
_LOOKS_PER_QUEUE: Final = 30
_ABSENCES: Final = 3  # its result may take a while to appear on a file system of many hosts


class Job(Protocol):
    """A job that was submitted."""

    def look(self) -> bool:
        """Look at the running job, about once a second; return whether it is lost, without a result."""

    def left(self) -> str:
        """Return a phrase about what is left of it, or nothing."""

    def cancel(self, *, again: bool) -> None:
        """Ask for its end; `again` if it was asked for before."""

    @property
    def remedy(self) -> str:
        """What a user can do about a job that does not end."""


def end_job(job: Job) -> None:
    """Cancel a job, and wait until it is gone, with all that it uses.

    Raises:
        TargetError: It does not end.
    """
    for look in range(_CANCELS * _LOOKS_PER_CANCEL):
        if not (left := job.left()):
            return
        if not look % _LOOKS_PER_CANCEL:
            job.cancel(again=look > 0)
        time.sleep(LOOK_SECONDS)
    limit_seconds = _CANCELS * _LOOKS_PER_CANCEL * LOOK_SECONDS
    raise TargetError(
        f"a cancelled job must be gone before another takes its place, but {left}: "
        f"it was cancelled {_CANCELS} times in {limit_seconds:g} s; {job.remedy}"
    )


class QueuedJob:
    """A job of Slurm.

    Args:
        job: The job, as submitit describes it.
    """

    def __init__(self, job: Any) -> None:
        self._job = job
        self._looks = self._absences = 0
        self.remedy = f"see `squeue --jobs {job.job_id}`: if its node does not answer, the administrators can end it"

    def look(self) -> bool:
        """Ask for the job every half a minute; after three times without it, it is lost."""
        self._looks += 1
        if not self._looks % _LOOKS_PER_QUEUE:
            self._absences = 0 if is_queued(self._job.job_id) else self._absences + 1
        return self._absences >= _ABSENCES

    def left(self) -> str:
        """A job stays in the queue until its last process has ended, and its GPU is no one else's before."""
        return f"job {self._job.job_id} is still in the queue" if is_queued(self._job.job_id) else ""

    def cancel(self, *, again: bool) -> None:  # noqa: ARG002 -- Slurm sends SIGTERM, then SIGKILL
        """Call `scancel`."""
        with machine_errors(f"cannot cancel job {self._job.job_id}", remedy=self.remedy):
            self._job.cancel(check=False)


class LocalJob:
    """A job that is processes of this machine: submitit's controller, the job, its worker, and what that starts.

    Args:
        job: The job, as submitit describes it.
    """

    def __init__(self, job: Any) -> None:
        self._job = job
        self._started_ticks: dict[int, int] = {}  # of its processes that were seen at the last look
        self._add(int(job.job_id))
        self.remedy = "end these processes, or restart the machine"

    def look(self) -> bool:
        """Remember the processes: after the death of a parent, nothing tells whose they were."""
        self._running()
        return False

    def left(self) -> str:
        """Name the processes that run."""
        self._job.done()  # reaps the controller
        running = self._running()
        return f"job {self._job.job_id} still runs as process {', '.join(map(str, running))}" if running else ""

    def cancel(self, *, again: bool) -> None:
        """Interrupt the controller, which ends the job; kill both if that did not help.

        The worker has a session of its own. It ends with what it has started as soon as the job is gone.
        """
        if not again:
            self._job.cancel(check=False)
            return
        for pid in self._running():
            try:
                is_ours = os.getsid(pid) == os.getsid(0)
            except ProcessLookupError:
                continue
            if is_ours:
                kill(pid)

    def _running(self) -> list[int]:
        for pid, started_ticks in list(self._started_ticks.items()):
            found = usage(pid)
            if found is None or found.ended or found.started_ticks != started_ticks:
                del self._started_ticks[pid]
        for pid in list(self._started_ticks):
            for below in descendants(pid):
                self._add(below)
        return list(self._started_ticks)

    def _add(self, pid: int) -> None:
        if (found := usage(pid)) and not found.ended:
            self._started_ticks[pid] = found.started_ticks


def is_queued(job_id: str) -> bool:
    """Return whether Slurm has a job: submitit asks `sacct`, which answers only with an accounting database.

    A failure to ask counts as a yes.
    """
    try:
        asked = subprocess.run(["squeue", "--noheader", "--jobs", job_id], capture_output=True, text=True, check=False)
    except OSError:
        return True
    return bool(asked.stdout.strip()) or (asked.returncode != 0 and "Invalid job id" not in asked.stderr)
