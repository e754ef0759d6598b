"""One evaluator behind a pipe: `python -m target.worker`, one JSON request a line on stdin, one JSON reply a line.

    {"configure": {"spec": ..., "corpus": ..., "scratch": ...}}           -> {"ok": null}
    {"configure": {"command": ..., "checkout": ..., "scratch": ...}}      -> {"ok": null}
    {"preflight": {"source": ..., "log": ...}}                        -> {"ok": evaluation or null}
    {"evaluate": {"source", "seed", "log", "thorough", "holdout": ...}}   -> {"ok": evaluation}

A failure of the machine is {"error": message, "disk_full": whether that is it}; a fault of ours ends the process with a
traceback. Replies go to what was stdout; what libraries print there goes to stderr. The end of stdin, at any moment,
ends the worker and all below. The zygote holds the reply pipe open too, so its end means that nothing of the worker's
is left.

The environment says which GPU it sees, and all that it starts sees the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target.boundary.job import KILL_SECONDS
from target.errors import DiskFullError, TargetError
from target.process.processes import become_subreaper, kill_descendants
from target.program import Program

if TYPE_CHECKING:
    from target.command.evaluator import CommandEvaluator
    from target.command.spec import CommandSpec
    from target.evaluator import Evaluator
    from target.spec import TargetSpec


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
                refused = self._evaluator.preflight(Program(arguments["source"]), Path(arguments["log"]))
                return refused and refused.to_json()
            case "evaluate":
                program, log = Program(arguments["source"]), Path(arguments["log"])
                flags = {name: arguments.get(name, False) for name in ("thorough", "holdout")}
                return self._evaluator.evaluate(program, arguments["seed"], log, **flags).to_json()
        raise ValueError(f"a request must be configure, preflight or evaluate, got {name!r}")

    def _configure(self, *, scratch: str, **target: Any) -> None:
        place = {"scratch": Path(scratch), "lifelines": (self._reply_fd,)}
        self._evaluator = _evaluator(target, place)
        self._stack.enter_context(self._evaluator)


def parse_target(target: dict[str, Any]) -> TargetSpec | CommandSpec:
    """Return the settings in a `configure` request."""
    if "command" in target:
        from target.command.spec import CommandSpec

        return CommandSpec.from_config(target["command"])
    from target.spec import TargetSpec

    return TargetSpec.from_config(target["spec"])


def _evaluator(target: dict[str, Any], place: dict[str, Any]) -> Evaluator | CommandEvaluator:
    from target.command.spec import CommandSpec

    spec = parse_target(target)
    if isinstance(spec, CommandSpec):
        from target.command.evaluator import CommandEvaluator

        return CommandEvaluator(spec, checkout=Path(target["checkout"]), **place)
    from target.corpus import CorpusFiles
    from target.evaluator import Evaluator

    return Evaluator(spec, CorpusFiles.from_json(target["corpus"]), **place)


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
                reader.join()  # the error is the end's own doing, and no answer: the reader ends the process
            replies.write(json.dumps(reply).encode() + b"\n")


def _read(requests: queue.SimpleQueue[bytes], hung_up: threading.Event) -> None:
    """Pass requests on; at their end, end everything, whatever the main thread is doing."""
    for line in sys.stdin.buffer:
        requests.put(line)
    hung_up.set()
    kill_descendants(KILL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
