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
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from target.cluster import jobs
from target.cluster.host import TRIES_ON_HOSTS, Answer, Host, import_path
from target.cluster.jobs import Job, LocalJob, QueuedJob, end_job
from target.cluster.likeness import likeness
from target.errors import TargetError, machine_errors
from target.executor import PooledExecutor
from target.kind import Kind
from target.workers import Pool, WorkerDied

_PROGRAMS: Final = ("sbatch", "srun", "squeue", "scancel")
_LOG: Final = logging.getLogger(__name__)


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
        TargetError: submitit is not installed, there are no programs of Slurm, or a parameter is unknown.
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
        """Cancel everything, wait until it is gone, and remove the files; unfinished work raises `TargetError`."""
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)  # a job that still ends may write there

    def _make_training_pool(self, first: dict[str, Any]) -> Pool:
        expected = likeness(self._kind, first["configure"]["settings"])
        submit = functools.partial(self._jobs.submit, _Training(self._kind, expected))
        follow = QueuedJob if self._jobs.cluster == "slurm" else LocalJob
        place = functools.partial(_JobWorker, submit, follow, self._submitit.core.utils)
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


class _JobWorker:
    """Submits one job for each request, as a pool's worker."""

    def __init__(self, submit: Callable[..., Any], follow: Callable[[Any], Job], errors: Any) -> None:
        self._submit = submit
        self._follow = follow
        self._errors = errors
        self._job: Job | None = None
        self._hung_up = threading.Event()

    def ask(self, request: dict[str, Any]) -> Any:
        """Submit a job, wait for its end, and return its answer."""
        ((name, arguments),) = request.items()
        if name == "begin":
            return None
        try:
            with machine_errors("cannot hand a job to the batch system"):  # submitit writes it to a file first
                submitted = self._submit(request)
        except self._errors.FailedJobError as error:
            raise TargetError(f"the batch system refused a job: {_in_one_line(error)}") from error
        self._job = job = self._follow(submitted)
        while not submitted.done():
            if self._hung_up.wait(jobs.LOOK_SECONDS):
                self._cancel()
                raise WorkerDied("the search ended it")
            if job.look():
                raise WorkerDied(f"job {submitted.job_id} has left the queue without a result")
        try:
            answer: Answer = submitted.result()
        except self._errors.FailedJobError as error:  # which is an uncompleted one to submitit
            raise TargetError(f"job {submitted.job_id} failed on its node: {_in_one_line(error)}") from error
        except self._errors.UncompletedJobError as error:
            self._cancel()
            raise WorkerDied(f"job {submitted.job_id} ended without a result: {_in_one_line(error)}") from error
        self._job = None
        return answer.result(Path(arguments["log"]))

    def hang_up(self) -> None:
        """Have the job cancelled."""
        self._hung_up.set()

    def end(self) -> str:
        """Cancel the job, if one is left."""
        self.hang_up()
        with contextlib.suppress(TargetError):  # it was told
            self._cancel()
        return ""

    def _cancel(self) -> None:
        job, self._job = self._job, None  # a second wait would find the same
        if job is None:
            return
        try:
            end_job(job)
        except TargetError as error:
            if self._hung_up.is_set():  # no one waits for the answer any more
                _LOG.warning("%s", error)
            raise


def _import_submitit(cluster: str) -> Any:
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise TargetError(f"executor=slurm needs submitit: pip install 'graft-search[slurm]' ({error})") from error
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns at each look where there is no accounting
    if cluster not in ("slurm", "local"):
        raise TargetError(f"executor.cluster must be slurm or local, got {cluster!r}")
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if cluster == "slurm" and missing:
        raise TargetError(
            f"executor=slurm needs a machine that can submit jobs: there is no `{missing[0]}` here; run it on a login "
            "node, or give executor.cluster=local to try it with processes of this machine"
        )
    return submitit


def _in_one_line(error: Exception) -> str:
    """Return the end of a message, where the cause is; what submitit says of its logs, which are removed, follows."""
    message = str(error).partition("You can check full logs")[0]
    lines = [line.strip() for line in message.splitlines() if line.strip(" -")]
    return " | ".join(lines[-3:])
