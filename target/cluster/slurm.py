"""The executor of a batch system: each training is a job of Slurm, through submitit.

A job asks for one GPU, or for cores, and runs one training; between trainings the queue has them back. The job prepares
the target's files on its node, and refuses a node with another torch, text or code. A job that is preempted or runs out
of its time is queued again by submitit, and trains from the start. A job that is lost is submitted again, once.

Source of the interface: submitit's documentation, section Checkpointing, github.com/facebookincubator/submitit.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from target.cluster.host import TRIES_ON_HOSTS, Answer, Host, import_path
from target.cluster.likeness import likeness
from target.errors import TargetError, machine_errors
from target.executor import PooledExecutor
from target.kind import Kind
from target.workers import Pool, WorkerDied

_LOOK_SECONDS: Final = 1.0
_LOOKS_PER_QUEUE: Final = 30
_ABSENCES: Final = 3  # its result may take a while to appear on a file system of many hosts


class SlurmExecutor(PooledExecutor):
    """Runs each training as a job.

    Args:
        kind: The target.
        workers: Jobs at a time.
        preflight_workers: Pre-flights that run beside them, on this machine.
        cluster: `slurm`, or `local` for jobs that are processes of this machine: to try it out.
        folder: Where jobs and their results are written; all nodes must see it.
        minutes: Time limit of a job, the preparation of its node included.
        partition: Of the batch system; None for its default.
        more: Further parameters of submitit, such as `{"slurm_account": "lab", "slurm_constraint": "h100"}`.

    Raises:
        TargetError: submitit is not installed, there is no `sbatch`, or a parameter is unknown.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        workers: int = 1,
        preflight_workers: int = 1,
        cluster: Literal["slurm", "local"] = "slurm",
        folder: str = "~/.cache/graft/jobs",
        minutes: int = 60,
        partition: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        if workers < 1:
            raise TargetError(f"executor.workers must be at least 1, got {workers}")
        super().__init__(kind, preflight_workers=preflight_workers)
        self._workers = workers
        self._submitit = _import_submitit(cluster)
        with machine_errors(f"cannot make a directory in executor.folder={folder}"):
            parent = Path(folder).expanduser()
            parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="search-", dir=parent))
        self._jobs = self._submitit.AutoExecutor(folder=self._folder, cluster=cluster)
        path = os.pathsep.join(import_path(kind))
        parameters = {
            "name": "graft",
            "timeout_min": minutes,
            "cpus_per_task": kind.threads,
            "gpus_per_node": 1 if kind.device == "cuda" else None,
            "slurm_partition": partition,
            "slurm_setup": [f"export PYTHONPATH={shlex.quote(path)}${{PYTHONPATH:+:$PYTHONPATH}}"],
            **(more or {}),
        }
        try:
            self._jobs.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
        except (NameError, AssertionError, TypeError, ValueError) as error:
            shutil.rmtree(self._folder)
            raise TargetError(f"executor.more has a parameter that submitit does not take: {error}") from error

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""
        return self._workers

    def close(self) -> None:
        """Cancel everything at once, and remove the files; unfinished work raises `TargetError`."""
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)  # a job that still ends may write there

    def _make_training_pool(self, first: dict[str, Any]) -> Pool:
        expected = likeness(self._kind, first["configure"]["settings"])
        submit = functools.partial(self._jobs.submit, _Training(self._kind, expected))
        is_queued = _is_queued if self._jobs.cluster == "slurm" else lambda _: True
        place = functools.partial(_Job, submit, is_queued, self._submitit.core.utils)
        return Pool([place] * self._workers, {"begin": {}}, tries=TRIES_ON_HOSTS)


class _Training:
    """What a job does: it evaluates one program on its node."""

    def __init__(self, kind: Kind, expected: Mapping[str, str]) -> None:
        self._kind = kind
        self._expected = expected

    def __call__(self, request: Mapping[str, Mapping[str, Any]]) -> Answer:
        """Evaluate a program."""
        host = Host(self._kind, self._expected)
        try:
            host.start()
        except TargetError as error:
            return host.failure(error)
        with contextlib.closing(host):
            return host.ask(request)

    def checkpoint(self, request: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return what submitit queues when the job is preempted: the same training, from the start."""
        return importlib.import_module("submitit").helpers.DelayedSubmission(self, request)


class _Job:
    """Submits one job for each request, as a pool's worker."""

    def __init__(self, submit: Callable[..., Any], is_queued: Callable[[str], bool], errors: Any) -> None:
        self._submit = submit
        self._is_queued = is_queued
        self._errors = errors
        self._job: Any = None
        self._hung_up = threading.Event()

    def ask(self, request: dict[str, Any]) -> Any:
        """Submit a job, wait for its end, and return its answer."""
        ((name, arguments),) = request.items()
        if name == "begin":
            return None
        try:
            self._job = job = self._submit(request)
        except self._errors.FailedJobError as error:
            raise TargetError(f"the batch system refused a job: {_in_one_line(error)}") from error
        looks = absent = 0
        while not job.done():
            if self._hung_up.wait(_LOOK_SECONDS):
                self._cancel()
                raise WorkerDied("the search ended it")
            looks += 1
            if not looks % _LOOKS_PER_QUEUE:
                absent = 0 if self._is_queued(job.job_id) else absent + 1
            if absent >= _ABSENCES:
                raise WorkerDied(f"job {job.job_id} has left the queue without a result")
        try:
            answer: Answer = job.result()
        except self._errors.UncompletedJobError as error:
            raise WorkerDied(f"job {job.job_id} ended without a result: {_in_one_line(error)}") from error
        except self._errors.FailedJobError as error:
            raise TargetError(f"job {job.job_id} failed on its node: {_in_one_line(error)}") from error
        return answer.result(Path(arguments["log"]))

    def hang_up(self) -> None:
        """Have the job cancelled."""
        self._hung_up.set()

    def end(self) -> str:
        """Cancel the job, if one is left."""
        self.hang_up()
        self._cancel()
        return ""

    def _cancel(self) -> None:
        if self._job is not None and not self._job.done():
            self._job.cancel(check=False)


def _is_queued(job_id: str) -> bool:
    """Return whether the batch system has a job: submitit asks `sacct`, which answers only with an accounting database.

    A failure to ask counts as a yes.
    """
    asked = subprocess.run(["squeue", "--noheader", "--jobs", job_id], capture_output=True, text=True, check=False)
    return bool(asked.stdout.strip()) or (asked.returncode != 0 and "Invalid job id" not in asked.stderr)


def _import_submitit(cluster: str) -> Any:
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise TargetError(f"executor=slurm needs submitit: pip install 'graft-search[slurm]' ({error})") from error
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns at each look where there is no accounting
    if cluster not in ("slurm", "local"):
        raise TargetError(f"executor.cluster must be slurm or local, got {cluster!r}")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise TargetError(
            "executor=slurm needs a machine that can submit jobs: there is no `sbatch` here; run it on a login node, "
            "or give executor.cluster=local to try it with processes of this machine"
        )
    return submitit


def _in_one_line(error: Exception) -> str:
    """Return the end of a message, where the cause is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    return " | ".join(lines[-3:])
