"""Runs the user's command in a directory, with limits of time and money, and ends it with all that it has started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import regex

from operators.agent.lifeline import KILL_SECONDS
from target.patterns import SlowPatternError, found_by
from target.process.runlog import RunLog

_PACKAGE_ROOT: Final = Path(__file__).parents[2]
_LOOK_SECONDS: Final = 0.5  # between two checks of its cost
_CONTROL_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # ECMA-48
_LOG_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Exit status, as a shell counts.
        stopped: The limit for which it was stopped; empty if it ended by itself.
        unread: Why its cost is not known, though its output may have it; empty if it is known, or none is reported.
        output: The end of its output.
        seconds: Wall time.
        cost_usd: Its reported cost; 0 if it is not known.
    """

    status: int
    stopped: str
    unread: str
    output: str
    seconds: float
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Where a command reports its cost.

    Attributes:
        file: A JSON file in its directory, with `cost_usd` or `total_cost_usd`; None for none.
        pattern: A regular expression for its output; the last match of its first group counts. None for none.
    """

    file: str | None
    pattern: regex.Pattern[str] | None

    def usd(self, directory: Path, log: Path) -> float:
        """Return the cost reported so far; 0 if none is.

        Raises:
            SlowPatternError: The search of the output took too long.
        """
        said = 0.0
        if self.file is not None:
            with contextlib.suppress(OSError, ValueError):  # missing, or half written
                record = json.loads((directory / self.file).read_text(encoding="utf-8"))
                said = _amount(record.get("cost_usd", record.get("total_cost_usd")) if isinstance(record, dict) else 0)
        if self.pattern is not None and log.exists():
            found = found_by(self.pattern, [log.read_text(encoding="utf-8", errors="replace")])
            said = max(said, _amount(found[-1]) if found else 0.0)
        return said


def run_command(
    command: Sequence[str],
    directory: Path,
    log: Path,
    *,
    stdin: str,
    environment: Mapping[str, str],
    seconds: float,
    usd: float | None,
    cost: Cost,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """Run a command until it ends or reaches a limit; none of the processes that it started is alive afterwards.

    Args:
        command: Program and arguments.
        directory: Its working directory.
        log: File for its output, of bounded size.
        stdin: Its standard input.
        environment: All of its environment.
        seconds: Limit of wall time.
        usd: Limit of its cost; None for no limit.
        cost: Where it reports its cost.
        clock: Monotonic seconds.
    """
    began, stopped, unread = clock(), "", ""

    def spent() -> float:
        nonlocal unread
        try:
            return cost.usd(directory, log)
        except SlowPatternError as error:
            unread = f"the search for agent.cost_pattern in its output was {error}"
            return 0.0

    task = log.with_name("stdin")
    task.write_text(stdin, encoding="utf-8")  # a file: a pipe would block if the command does not read
    with RunLog(log, limit_bytes=_LOG_BYTES) as output:
        with output.pipe() as pipe, _guarded(command, directory, task, pipe, environment) as (guard, cut):
            while not (stopped or unread):
                left = began + seconds - clock()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    guard.wait(max(0.0, left if usd is None else min(left, _LOOK_SECONDS)))
                    break
                if usd is not None and spent() > usd:
                    stopped = f"agent.usd={usd:g}"
                elif clock() - began >= seconds:
                    stopped = f"agent.seconds={seconds:g}"
            cut()
            status = guard.wait(2 * KILL_SECONDS)
        tail = output.tail()
    cost_usd = 0.0 if unread else spent()
    return Ended(
        status=status,
        stopped=stopped,
        unread=unread,
        output=_plain(tail),
        seconds=clock() - began,
        cost_usd=cost_usd,
    )


@contextlib.contextmanager
def _guarded(
    command: Sequence[str], directory: Path, task: Path, pipe: int, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """Start a command as the child of a guard, which ends it if we die; give the guard, and what cuts its lifeline."""
    theirs, ours = os.pipe()
    lifeline = os.fdopen(ours, "wb")
    job: dict[str, Any] = {"command": list(command), "directory": str(directory), "lifeline": theirs}
    try:
        with task.open("rb") as stdin:
            guard = subprocess.Popen(
                [sys.executable, "-m", "operators.agent.lifeline", json.dumps(job)],
                cwd=_PACKAGE_ROOT,
                env=dict(environment),
                stdin=stdin,
                stdout=pipe,
                stderr=pipe,
                pass_fds=(theirs,),
                start_new_session=True,
            )
    finally:
        os.close(theirs)
    try:
        yield guard, lifeline.close
    finally:
        lifeline.close()
        try:
            guard.wait(2 * KILL_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _plain(text: str) -> str:
    """Return the text as a terminal shows it, without colours and other control sequences."""
    bare = _CONTROL_SEQUENCE.sub("", text)
    return "".join(each if each.isprintable() or each in "\n\t" else " " for each in bare)


def _amount(said: Any) -> float:
    try:
        amount = float(said)
    except (TypeError, ValueError):
        return 0.0
    return amount if 0 <= amount < float("inf") else 0.0
