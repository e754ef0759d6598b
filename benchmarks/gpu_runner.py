"""Runs the stages of `benchmarks/gpu.py`, each in its own process, and keeps their results.

One stage must not use up a machine that is available for minutes only. So each stage has a timeout, at which it and
everything that it started are killed. Its result is written to the JSON file before the next stage begins. A stage of
several trainings writes what it has after each of them, which is kept if it is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from target.process.processes import become_subreaper, children, kill_descendants

FAILED: Final = "failed"
LEFT_OUT: Final = "left out"
SECONDS: Final = "stage_seconds"
_KILL_SECONDS: Final = 10.0
_TAIL_CHARACTERS: Final = 1_500


Found = dict[str, Any]


class Results:
    """The results, saved to a file after every stage; those of earlier calls stay until their stage runs again.

    Args:
        path: The file.

    Attributes:
        now: Results of the stages of this call, by name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.now: dict[str, Found] = {}

    def add(self, stage: str, found: Mapping[str, Any]) -> None:
        """Save and print the result of a stage."""
        self.now[stage] = self._all[stage] = dict(found)
        self.save()
        print(f"\n== {stage}", flush=True)
        for name, value in found.items():
            print(f"{name:<40} {value:.6g}" if isinstance(value, float) else f"{name:<40} {value}".rstrip(), flush=True)

    def save(self) -> None:
        """Write the file, in one step."""
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(self._all, indent=2) + "\n")
        unfinished.replace(self._path)

    @property
    def successful(self) -> list[str]:
        """The stages of this call that have a usable result."""
        return [name for name, found in self.now.items() if not {FAILED, LEFT_OUT} & found.keys()]

    @property
    def failed(self) -> list[str]:
        """The stages of this call that failed."""
        return [name for name, found in self.now.items() if FAILED in found]

    def table(self, estimates: Mapping[str, float]) -> str:
        """Return a line for each stage of this call: seconds, the estimate, and how it ended."""
        lines = [f"{'stage':<10} {'seconds':>8} {'estimate':>9}  result"]
        for name, found in self.now.items():
            seconds = f"{found[SECONDS]:.0f}" if SECONDS in found else ""
            estimate = f"{estimates[name]:.0f}" if name in estimates else ""
            ending = next((f"{each}: {found[each]}" for each in (FAILED, LEFT_OUT) if each in found), "ok")
            lines.append(f"{name:<10} {seconds:>8} {estimate:>9}  {ending.splitlines()[0]}")
        return "\n".join(lines)


def run_stage(name: str, command: Sequence[str], *, timeout_seconds: float, logs: Path) -> Found:
    """Run a stage to its end or its timeout; afterwards no process that it started is alive.

    Args:
        name: Its name.
        command: The command to run. Its last argument will be the path of a file for its result, a JSON object.
        timeout_seconds: When it is killed.
        logs: Folder for its output, in `<name>.log`.

    Returns:
        Its result and its seconds. If it did not end well, `failed` says why, with the end of the log and what it had
        found so far.
    """
    become_subreaper()  # orphans of a killed stage become children of this process and can be found
    logs.mkdir(parents=True, exist_ok=True)
    log, result = logs / f"{name}.log", result_file(name, logs)
    result.unlink(missing_ok=True)
    others = frozenset(children(os.getpid()))
    began = time.monotonic()
    process: subprocess.Popen[bytes] | None = None
    timed_out = False
    with log.open("wb") as out:
        try:  # begins before Popen: an interrupt between its fork and its return leaves a child too
            process = subprocess.Popen(
                [*command, str(result)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},  # so that the log has the last output of a killed stage
            )
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            status = process.poll() if process else None  # before it is reaped together with its orphans
            is_gone = kill_descendants(_KILL_SECONDS, keep=others)
            if process:
                process.poll()
    seconds = {SECONDS: time.monotonic() - began}
    found, problem = _read(result)
    so_far = seconds | found
    if not is_gone:
        return _failure("something that it started cannot be killed", log) | so_far
    if timed_out:
        return _failure(f"killed after {timeout_seconds:.0f} s, its timeout", log) | so_far
    if status:
        return _failure(f"exit status {status}", log) | so_far
    return _failure(problem, log) | seconds if problem else found | seconds


def result_file(name: str, logs: Path) -> Path:
    """Return where a stage writes its result."""
    return logs / f"{name}.result.json"


def found_so_far(name: str, logs: Path) -> Found:
    """Return what a stage has written of its result; empty if that is nothing, or cannot be read."""
    return _read(result_file(name, logs))[0]


def _read(result: Path) -> tuple[Found, str]:
    """Return a result, and why there is none; one of the two is empty, or the result is an empty object."""
    try:
        found = json.loads(result.read_text())
    except (OSError, ValueError) as error:
        return {}, f"it left no result that can be read ({error})"
    return (
        (found, "")
        if isinstance(found, dict)
        else ({}, f"its result must be a JSON object, got {type(found).__name__}")
    )


def _failure(why: str, log: Path) -> Found:
    lines = log.read_text(errors="replace").strip().splitlines()
    last = f"; it said last: {lines[-1][:200]}" if lines else ""
    tail = "\n".join(lines)[-_TAIL_CHARACTERS:]
    return {FAILED: why + last, "log": str(log), "end of the log": tail}
