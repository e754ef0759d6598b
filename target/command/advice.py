"""Advice for the common reasons why another project's program does not run here, found by its log."""

from __future__ import annotations

import platform
import re
from typing import Final

LOADER: Final = {"aarch64": "/lib/ld-linux-aarch64.so.1"}.get(platform.machine(), "/lib64/ld-linux-x86-64.so.2")
"""Starts a program whose file is not marked as executable."""

_DISTRIBUTED: Final = (
    r"\[c10d\]|torch/distributed|TCPStore|\bgloo/",
    "torchrun and torch.distributed run in the sandbox with target.worker_processes=true only",
)
_ADVICE: Final = (
    _DISTRIBUTED,
    (
        r"'git'|not a git repository|\bgit rev-parse\b",
        "the command runs in a copy without .git: make the program work without git",
    ),
    (
        r"SemLock|sem_open|DataLoader worker|multiprocessing/(?:synchronize|context|popen|resource_tracker)",
        "multiprocessing's worker processes run in the sandbox with target.worker_processes=true only; or load data in "
        "the program itself (num_workers=0)",
    ),
    (
        r"No module named",
        "the command is run by a Python without that package: name another one, as in "
        "target.command='.venv/bin/python train.py'",
    ),
    (
        r"name resolution|Name or service not known|nodename nor servname|Network is unreachable|MaxRetryError"
        r"|LocalEntryNotFoundError|URLError|ConnectionError|Failed to establish a new connection",
        "there is no network in the sandbox: download first, and name the place in target.links, target.home or "
        "target.readable",
    ),
    (
        r"(?:: \d+|: line \d+|\bmake): \S+: Permission denied|[Cc]hmod\S*: .*not permitted|changing permissions of"
        r"|chmod[^\n]*\n(?:[ ^~]*\n)?PermissionError: \[Errno 1\]"
        r"|PermissionError: \[Errno 13\] Permission denied: '\./",
        "chmod is forbidden in the sandbox, so what a compiler makes cannot be run by its name: let the loader start "
        f"it, as in '{LOADER} ./build/program', or set target.sandbox=off",
    ),
    (
        r"FileNotFoundError|No such file or directory|PermissionError|Permission denied",
        "only files that git tracks are copied: name data in target.links (in the directory), target.home (in your "
        "home) or target.readable (elsewhere)",
    ),
)
_PATTERNS: Final = tuple((re.compile(pattern), advice) for pattern, advice in _ADVICE)


def advice_on(tail: str) -> str | None:
    """Return what to do about a failure, from the end of its log; None if the cause is not known."""
    return next((advice for pattern, advice in _PATTERNS if pattern.search(tail)), None)


def advice_on_delay(tail: str) -> str | None:
    """Return what to do about a command that does not end, from the end of its log; None if the cause is not known."""
    pattern, advice = _DISTRIBUTED
    return advice if re.search(pattern, tail) else None
