"""What a search ran on; written once per session to environment.json."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from target.command.git import GitError, git_environment, run_git

_PACKAGES: Final = (
    "graft-search",
    "torch",
    "numpy",
    "optuna",
    "hydra-core",
    "mlflow",
    "litellm",
    "tiktoken",
    "rustbpe",
)


def describe_environment(target: Mapping[str, Any], isolation: tuple[str, ...]) -> dict[str, Any]:
    """Return directory, commit, versions, device, active isolation and what the target says of itself, as JSON types.

    Args:
        target: What its `prepare` returned: the `kind` of device, and more.
        isolation: Active layers.
    """
    return {
        "directory": str(Path.cwd()),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "device": describe_device(target["kind"]),
        "isolation": list(isolation),
        **{name: value for name, value in target.items() if name != "kind"},
    }


def describe_device(kind: str) -> dict[str, Any]:
    """Return the device that trains, as plain JSON types."""
    return {
        "kind": kind,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the source tree, with `-dirty` if it has changes; None for an installed wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = run_git(root, ("describe", "--always", "--dirty", "--abbrev=40"), git_environment())
    except (OSError, GitError):
        return None
    return described.stdout.decode().strip() or None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
