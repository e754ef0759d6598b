"""One evaluator behind a pipe: `python -m target.worker`. Requests and replies are JSON, one per line.

    {"configure": {"evaluator": module, "path", "settings", "scratch": ...}}  -> {"ok": null}
    {"preflight": {"source", "log", perhaps "evidence": ...}}                 -> {"ok": evaluation or null}
    {"evaluate": {"source", "seed", "log", "thorough", "holdout", "stop": ...}} -> {"ok": evaluation}

`module` is the evaluator's module, from the kind of the target (`target/kind.py`); `path` is the
directory of its package, because a kind need not be a part of Graft.

A failure of the machine is {"error": message, "disk_full": whether a full disk is the cause}. A bug of ours ends the
process with a traceback. Replies go to the original stdout; what libraries print to stdout goes to stderr. The end of
stdin, at any moment, ends the worker and all of its descendants. The zygote holds the reply pipe open too, so the end
of that pipe means that none of the worker's processes is left.

The environment says which GPU the worker sees; all processes that it starts see the same.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from target.boundary.job import KILL_SECONDS
from target.errors import DiskFullError, TargetError
from target.evidence import Evidence
from target.kind import OpenEvaluator
from target.process.processes import become_subreaper, kill_descendants
from target.program import Program
from target.stopping import StopRule


class _Worker:
    def __init__(self, stack: contextlib.ExitStack, reply_fd: int) -> None:
        self._stack = stack
        self._reply_fd = reply_fd

    def answer(self, request: dict[str, Any]) -> Any:
        ((name, arguments),) = request.items()
        match name:
            case "configure":
                self._configure(**arguments)
                return None
            case "preflight":
                known = {"evidence": Evidence.from_json(arguments["evidence"])} if "evidence" in arguments else {}
                refused = self._evaluator.preflight(Program(arguments["source"]), Path(arguments["log"]), **known)
                return refused and refused.to_json()
            case "evaluate":
                program, log = Program(arguments["source"]), Path(arguments["log"])
                flags = {name: arguments.get(name, False) for name in ("thorough", "holdout")}
                if stop := arguments.get("stop"):
                    flags["stop"] = StopRule.from_json(stop)
                return self._evaluator.evaluate(program, arguments["seed"], log, **flags).to_json()
        raise ValueError(f"a request must be configure, preflight or evaluate, got {name!r}")

    def _configure(self, *, evaluator: str, path: str, settings: dict[str, Any], scratch: str) -> None:
        if path not in sys.path:
            sys.path.append(path)
        make: OpenEvaluator = importlib.import_module(evaluator).open_evaluator
        self._evaluator = self._stack.enter_context(make(settings, scratch=Path(scratch), lifelines=(self._reply_fd,)))


def main() -> None:
    """Answer requests until stdin ends."""
    reply_fd = os.dup(1)
    os.dup2(2, 1)
    become_subreaper()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    hung_up = threading.Event()
    reader = threading.Thread(target=_read, args=(requests, hung_up), daemon=True)
    reader.start()
    with contextlib.ExitStack() as stack, os.fdopen(reply_fd, "wb", buffering=0) as replies:
        worker = _Worker(stack, reply_fd)
        while True:
            request = json.loads(requests.get())
            try:
                reply = {"ok": worker.answer(request)}
            except TargetError as error:
                reply = {"error": str(error), "disk_full": isinstance(error, DiskFullError)}
            if hung_up.is_set():
                reader.join()  # the end of stdin caused the error, so there is no reply: the reader ends the process
            replies.write(json.dumps(reply).encode() + b"\n")


def _read(requests: queue.SimpleQueue[bytes], hung_up: threading.Event) -> None:
    """Pass requests on; when they end, end everything, even if the main thread is busy."""
    for line in sys.stdin.buffer:
        requests.put(line)
    hung_up.set()
    kill_descendants(KILL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
