"""The processes of a real search, by what they are doing."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from target.process.processes import children

_Found = TypeVar("_Found")
PATIENCE_SECONDS = 300


def family(pid: int) -> list[psutil.Process]:
    """Return all below a process, none if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def below(pid: int) -> Iterator[int]:
    """Yield the ids of processes below one, as far as they stay: for waiting, since psutil reads all of /proc."""
    for child in children(pid):
        yield child
        yield from below(child)


def child_in(mode: str, search: int) -> psutil.Process | None:
    """Return a process in the workspace of a `train` or a `serve`, if there is one."""
    for process, run in _children_with_a_workspace(search):
        if run["mode"] == mode:
            return process
    return None


def _children_with_a_workspace(search: int) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    for pid in below(search):
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            yield psutil.Process(pid), json.loads(Path(f"/proc/{pid}/cwd/run.json").read_text())


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # ended, and not waited for yet
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], _Found | None], *, while_running: int) -> _Found:
    """Return the first thing that a condition finds; a search that ends meanwhile is a failure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert _is_running(while_running), "the search is over"
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)
    return found


def trainings_in(journal: Path) -> int:
    return journal.read_bytes().count(b'"val_bpb"') if journal.exists() else 0


def assert_gone(processes: list[psutil.Process]) -> None:
    """Check that no process of it survives; the kernel gets a moment to end them."""
    _, alive = psutil.wait_procs(processes, timeout=300)
    assert not alive
