"""The one place where the layers between a candidate and the machine are put up.

`confine` runs in the freshly forked child, before it touches a line of the candidate's source. A layer is a step in
`confine` and a name in what it returns; that tuple is recorded with every evaluation.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from target.processes import die_with_parent, forbid_new_privileges

FILE_BYTES = 4 << 30  # largest file a candidate can write
OPEN_FILES = 1024

# What a trusted process of ours passes down; everything else, keys and proxies included, stays behind.
_INHERITED = (
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE",
    "PATH",
    "TZ",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What one child may use.

    Attributes:
        workspace: Its directory: working directory, home, temporary files and caches.
        memory_bytes: Address space; None on CUDA, which maps far more than it uses.
        cpu_seconds: CPU time of each single process, a backstop behind the parent's clock; None for no limit.
    """

    workspace: Path
    memory_bytes: int | None
    cpu_seconds: int | None


def scrubbed_environment(threads: int) -> dict[str, str]:
    """Return the environment for a process below which candidates run."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "HOME": "/nonexistent",
        "MKL_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",  # numpy would start its threads at import, before the fork
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def confine(confinement: Confinement, *, log_fd: int, keep_fds: Iterable[int]) -> tuple[str, ...]:
    """Confine the calling process, freshly forked, and all that it will start.

    Args:
        confinement: What it may use.
        log_fd: Becomes its stdout and stderr.
        keep_fds: Further file descriptors that stay open.

    Returns:
        Names of the layers in force.
    """
    die_with_parent(os.getppid())
    os.setsid()
    _keep_only(log_fd, set(keep_fds))
    _limit_resources(confinement)
    forbid_new_privileges()
    _enter(confinement.workspace)
    return (
        "process-group",
        "pdeathsig",
        "subreaper",
        "closed-files",
        "rlimits",
        "no-new-privileges",
        "scrubbed-environment",
    )


def _keep_only(log_fd: int, keep_fds: set[int]) -> None:
    null_fd = os.open(os.devnull, os.O_RDONLY)
    for target_fd, source_fd in enumerate((null_fd, log_fd, log_fd)):
        os.dup2(source_fd, target_fd)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- a Path iterator would hold a descriptor of its own
        fd = int(name)
        if fd > 2 and fd not in keep_fds:
            os.closerange(fd, fd + 1)


def _limit_resources(confinement: Confinement) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: FILE_BYTES, resource.RLIMIT_NOFILE: OPEN_FILES}
    if confinement.memory_bytes is not None:
        limits[resource.RLIMIT_AS] = confinement.memory_bytes
    if confinement.cpu_seconds is not None:
        limits[resource.RLIMIT_CPU] = confinement.cpu_seconds
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    Path("/proc/self/oom_score_adj").write_text("1000")  # the machine's memory runs out: this one goes first


def _enter(workspace: Path) -> None:
    home, temporary = workspace / "home", workspace / "tmp"
    os.environ.update(
        GRAFT_RUN=str(workspace / "run.json"),
        HF_HOME=str(home / "huggingface"),
        HOME=str(home),
        MPLCONFIGDIR=str(home / "matplotlib"),
        TMPDIR=str(temporary),
        TORCHINDUCTOR_CACHE_DIR=str(home / "inductor"),
        TRITON_CACHE_DIR=str(home / "triton"),
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_CONFIG_HOME=str(home / "config"),
    )
    os.chdir(workspace)
