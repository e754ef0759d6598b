"""`python -m search` without its imports: `python -m tests.search.warm` has done them, and forks a process per search.

Such a process is one of its own, with its own arguments, environment, directory, output and exit status, and it runs
the module `search` as `__main__`. Nothing of Graft is called before the fork, so that none begins where another left
off. The imports cost a second of CPU time, those of litellm four more.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
IMPORTS: Final = (
    *(
        "hydra",
        "search.arguments",
        "search.ending",
        "search.printed",
        "search.schema",
        "search.secrets",
        "search.sweep",
    ),
    *("search.session", "search.views.progress", "search.strategies.hybrid"),
    *("operators.constants", "operators.tune", "operators.switch", "target.simulated.landscape"),
    *("hydra.utils", "matplotlib.backends.backend_agg", "matplotlib.figure", "optuna", "rich.console"),
    *("scipy.linalg", "scipy.optimize", "sklearn.ensemble", "threadpoolctl"),
)
SAME: Final = frozenset({"PYTHONPATH", "OPENAI_API_KEY", "SCRIPTED_KEY"})
"""Variables that decide nothing at an import, if PYTHONPATH is the root of the repository."""


def can_be_warm(environment: Mapping[str, str]) -> bool:
    """Return whether a process with these additional variables may have done its imports without them."""
    return set(environment) <= SAME and environment.get("PYTHONPATH", str(ROOT)) == str(ROOT)


def run_warm(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m search` with these arguments to its end, as `subprocess.run` does."""
    server = _server()
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        order = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "timeout_seconds": timeout_seconds,
            "files": [out.name, err.name],
        }
        assert server.stdin
        assert server.stdout
        print(json.dumps(order), file=server.stdin, flush=True)
        code = json.loads(server.stdout.readline())
        command = [sys.executable, "-m", "search", *arguments]
        if code is None:
            raise subprocess.TimeoutExpired(command, timeout_seconds, out.read(), err.read())
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


_servers: Final[list[subprocess.Popen[str]]] = []


def _server() -> subprocess.Popen[str]:
    """Return the process that forks for this one; a test that ends all children of this process may have ended it."""
    if _servers and _servers[-1].poll() is None:
        return _servers[-1]
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.search.warm"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(started.communicate)  # it ends with its stdin
    _servers.append(started)
    return started


def main() -> dict[str, Any] | None:
    """Serve orders until there are no more; return the order of a fork."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.set_inheritable(replies.fileno(), False)
    os.dup2(2, 1)
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if any(argument.startswith("llm.model") for argument in order["arguments"]):
            importlib.import_module("operators.llm.catalogue").import_litellm()
        pid = os.fork()
        if not pid:
            replies.close()
            return order  # type: ignore[no-any-return]
        print(json.dumps(_exit_of(pid, order["timeout_seconds"])), file=replies)
    return None


def _exit_of(pid: int, timeout_seconds: float) -> int | None:
    """Wait for a process, and return its exit status; None if it had to be killed."""
    pidfd = os.pidfd_open(pid)
    ended, _, _ = select.select([pidfd], [], [], timeout_seconds)
    os.close(pidfd)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def become(order: dict[str, Any]) -> None:
    """Turn a fork into `python -m search`."""
    for fd, path in enumerate((os.devnull, *order["files"])):
        opened = os.open(path, os.O_RDWR if fd else os.O_RDONLY)
        os.dup2(opened, fd)
        os.close(opened)
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    sys.path[0] = order["cwd"]
    if ROOT not in map(Path, sys.path):
        sys.path.append(str(ROOT))
    sys.argv = ["search", *order["arguments"]]
    runpy.run_module("search", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    taken = main()
    if taken is not None:
        become(taken)
