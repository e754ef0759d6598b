"""Applies all layers of isolation between a candidate and the machine.

`confine` runs in the freshly forked child, before any of the candidate's source. Each layer is a step in `confine` and
a name in the tuple that it returns. That tuple is recorded with every evaluation.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from target.errors import TargetError
from target.process.processes import die_with_parent, drop_capabilities, forbid_new_privileges, user_threads
from target.sandbox import landlock, namespaces, seccomp
from target.sandbox.access import Access
from target.sandbox.grants import child_grants
from target.sandbox.seccomp import Processes, Sockets
from target.spec import Sandbox

OPEN_FILES = 1024
PROCESSES = 512  # and threads, beyond the user's present ones; the kernel counts all of a user's together

CAPABILITIES: Final = "no-capabilities"
LANDLOCK: Final = "landlock"
SECCOMP: Final = "seccomp"
LAYERS: Final = (CAPABILITIES, LANDLOCK, SECCOMP)  # in the order in which they are applied

# The variables that our trusted processes pass down; all others, keys and proxies included, are removed.
_INHERITED = (
    "CC",  # the compiler that Triton and Inductor use
    "CUDA_DEVICE_ORDER",  # what numbers in CUDA_VISIBLE_DEVICES mean
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "CXX",
    "HIP_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE",
    "PATH",
    "ROCR_VISIBLE_DEVICES",
    "TZ",
)


_PATHS: Final = ("readable", "runnable", "withheld")  # of a confinement


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """The resources that one child may use.

    Attributes:
        workspace: Its directory: working directory, home, temporary files and caches.
        layers: Which of `LAYERS` are applied where the machine has them.
        access: Its access to the device.
        readable: Paths that it may read beside its workspace, the interpreter and the system's libraries.
        runnable: Paths that it may read and execute from, beside those.
        withheld: Paths that it may not read, even below granted ones.
        memory_bytes: Address space beyond that of a fresh child; None on CUDA, which maps far more than it uses.
        file_bytes: Largest file that it can write.
        cpu_seconds: CPU time of each single process, a backstop behind the parent's clock; None for no limit.
        listed_calls: Whether it may make only the system calls that trainings were observed to make.
        processes: Whether it may start other processes, as in `target.sandbox.seccomp`.
        worker_processes: Whether these may be worker processes of Python, which share memory in /dev/shm and connect to
            each other. It must be in namespaces: else it would share them with the machine.
    """

    workspace: Path
    layers: tuple[str, ...]
    access: Access
    readable: tuple[Path, ...]
    withheld: tuple[Path, ...]
    memory_bytes: int | None
    file_bytes: int
    cpu_seconds: int | None
    listed_calls: bool
    processes: Processes
    runnable: tuple[Path, ...] = ()
    worker_processes: bool = False

    @property
    def sockets(self) -> Sockets:
        """The sockets that it may use."""
        return "connected" if self.worker_processes else "unconnected" if self.access.unix_sockets else "none"

    def to_json(self) -> dict[str, Any]:
        """Return the confinement as plain JSON types."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        paths = {name: [str(path) for path in record[name]] for name in _PATHS}
        return {**record, **paths, "workspace": str(self.workspace), "access": self.access.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_json`."""
        paths = {name: tuple(map(Path, record[name])) for name in _PATHS}
        return cls(
            **{
                **record,
                **paths,
                "workspace": Path(record["workspace"]),
                "layers": tuple(record["layers"]),
                "access": Access.from_json(record["access"]),
            }
        )


def layers_of(sandbox: Sandbox) -> tuple[str, ...]:
    """Return the layers that a child applies for a setting of `target.sandbox`."""
    return () if sandbox == "off" else LAYERS


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


def missing_layers() -> tuple[str, ...]:
    """Return the layers that this machine lacks, each with what it requires."""
    missing = []
    version = landlock.abi()
    if version < landlock.ABI_TRUNCATE:
        missing.append(
            f"landlock (version {landlock.ABI_TRUNCATE} is required, this kernel has {version or 'none'}; "
            "it comes with Linux 6.2 and must be in the list of the boot parameter lsm=)"
        )
    if not seccomp.available():
        missing.append("seccomp (filters are required, on x86-64 or aarch64)")
    if lacking := namespaces.missing():
        missing.append(lacking)
    return tuple(missing)


def isolation_warning(sandbox: Sandbox) -> str | None:
    """Return what the user should know about the layers in force; None if all of them are."""
    if sandbox == "off":
        return "target.sandbox=off: candidates can read and change whatever you can, the validation text included"
    if missing := missing_layers():
        return f"isolation is incomplete: this machine lacks {'; '.join(missing)}"
    return None


def refuse_missing_layers() -> None:
    """Check that every layer can be applied.

    Raises:
        TargetError: A layer is missing.
    """
    if missing := missing_layers():
        raise TargetError(
            f"target.sandbox=strict, but this machine lacks {'; '.join(missing)}; sandbox=auto does without"
        )


def confine(confinement: Confinement, *, log_fd: int, keep_fds: Iterable[int]) -> tuple[str, ...]:
    """Confine the calling process, freshly forked, and all processes that it will start.

    Args:
        confinement: What it may use.
        log_fd: Becomes its stdout and stderr.
        keep_fds: Further file descriptors that stay open.

    Returns:
        Names of the layers in force.

    Raises:
        OSError: A layer that the kernel offers cannot be applied.
    """
    die_with_parent(os.getppid())
    os.setsid()
    _keep_only(log_fd, set(keep_fds))
    limits = _limit_resources(confinement)
    forbid_new_privileges()
    _enter(confinement.workspace)
    always = ("process-group", "pdeathsig", "subreaper", "closed-files", "no-new-privileges", "scrubbed-environment")
    return (*always, *limits, *_restrict(confinement))


def _restrict(confinement: Confinement) -> tuple[str, ...]:
    wanted, in_force = confinement.layers, []
    if CAPABILITIES in wanted:
        drop_capabilities()
        in_force.append(CAPABILITIES)
    version = landlock.abi() if LANDLOCK in wanted else 0
    if version:
        places = child_grants(
            confinement.workspace,
            access=confinement.access,
            readable=confinement.readable,
            runnable=confinement.runnable,
            has_workers=confinement.worker_processes,
        )
        landlock.restrict(tuple(places), confinement.withheld, version, tcp=confinement.worker_processes)
        in_force.append(f"{LANDLOCK}-{version}")
    if SECCOMP in wanted and seccomp.available():
        seccomp.restrict(
            signals_to_own_pid=version < landlock.ABI_SIGNALS,
            sockets=confinement.sockets,
            listed_only=confinement.listed_calls,
            processes=confinement.processes,
        )
        in_force.append(SECCOMP)
    return tuple(in_force)


def _keep_only(log_fd: int, keep_fds: set[int]) -> None:
    null_fd = os.open(os.devnull, os.O_RDONLY)
    for target_fd, source_fd in enumerate((null_fd, log_fd, log_fd)):
        os.dup2(source_fd, target_fd)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- a Path iterator would hold a descriptor of its own
        fd = int(name)
        if fd > 2 and fd not in keep_fds:
            os.closerange(fd, fd + 1)


def _limit_resources(confinement: Confinement) -> tuple[str, ...]:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: OPEN_FILES}
    limits[resource.RLIMIT_FSIZE] = confinement.file_bytes
    if confinement.memory_bytes is not None:
        limits[resource.RLIMIT_AS] = _address_space_bytes() + confinement.memory_bytes
    if confinement.cpu_seconds is not None:
        limits[resource.RLIMIT_CPU] = confinement.cpu_seconds
    if os.getuid():  # root is exempt
        limits[resource.RLIMIT_NPROC] = user_threads() + PROCESSES
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    Path("/proc/self/oom_score_adj").write_text("1000")  # first to be killed if memory runs out
    return ("rlimits", "process-limit") if resource.RLIMIT_NPROC in limits else ("rlimits",)


def _address_space_bytes() -> int:
    """Return the address space of this process: with a CUDA build of torch it is 3 GB before anything is computed."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    return pages * resource.getpagesize()


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
    tempfile.tempdir = None  # what the zygote found before the fork
    os.chdir(workspace)
