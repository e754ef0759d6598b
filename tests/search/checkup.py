"""`python -m search.doctor` as a user runs it, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from search.doctor.checks.row import Row

UNTRIED = "target.sandbox=off"  # the layers are not tried, which takes six CPU seconds


def doctor(cwd: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "search.doctor", *arguments],
        cwd=cwd,
        env={**environment, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the lines of a report by what was checked, the state in front."""
    assert "Traceback" not in done.stderr, done.stderr
    return {line[8:24].strip(): f"{line[:8].strip()} {line[24:]}" for line in done.stdout.splitlines()[:-1]}


def verdict_of(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def only(rows: Iterator[Row]) -> Row:
    (row,) = rows
    return row
