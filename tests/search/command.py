"""`python -m search` as a user runs it, on a target of one second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.search.warm import can_be_warm, run_warm

FAST = (
    "target.train_seconds=0.8",
    "target.startup_seconds=0.4",
    "target.scoring.rows=64",
    "target.scoring.batch_rows=32",
    "target.scoring.cuts=8",
    "target.sequence_tokens=64",
)
"""A training of about a second: too short to learn much, long enough to be real."""
ONE_WORKER = ("executor.workers=1", "executor.preflight_workers=0")
"""For searches in which nothing has to happen side by side: each worker imports torch, for three CPU seconds."""
QUIET = "tracker=none"


def command(*overrides: str) -> list[str]:
    """Return the command line of a fast search on one worker; with a target of its own, of a search on that."""
    flags = [each for each in overrides if each.startswith("-")]  # Hydra wants them in front
    fast = () if any(each.startswith("target=") for each in overrides) else FAST
    if fast and not any(each.startswith("executor") for each in overrides):
        fast = (*fast, *ONE_WORKER)
    return [sys.executable, "-m", "search", *flags, *fast, *(each for each in overrides if each not in flags)]


def run(
    cwd: Path, *overrides: str, env: dict[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a fast search to its end, if the environment allows in a process that has done its imports."""
    arguments = command(*overrides)
    if can_be_warm(env or {}):
        return run_warm(arguments[3:], cwd, env or {}, timeout)
    return subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def summary_of(root: Path) -> dict[str, Any]:
    """Read summary.json of a run directory."""
    loaded: dict[str, Any] = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    return loaded


def rows_of(root: Path) -> list[dict[str, str]]:
    """Read results.tsv of a run directory."""
    header, *lines = (root / "results.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def verdicts_of(root: Path) -> list[tuple[str, str, str]]:
    """Return what never changes of the rows in results.tsv: number, status and description."""
    return [(row["number"], row["status"], row["description"]) for row in rows_of(root)]


def assert_clean_failure(done: subprocess.CompletedProcess[str], *phrases: Sequence[str] | str) -> None:
    """One clear message, a non-zero exit, no traceback."""
    assert done.returncode not in (0, -9), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for phrase in phrases:
        assert phrase in done.stderr, done.stderr
