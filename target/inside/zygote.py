"""Forks confined children that need not import torch again: `python -m target.inside.zygote FD MODULE`.

A trusted process between the evaluator and the candidates. It runs none of their code, has one thread and holds no
validation data. It adopts the orphans of candidates, and kills all of its descendants when the evaluator hangs up.

Packets on the socket are JSON. From the evaluator: {"job": ...} with descriptors, {"kill": true}. From the zygote:
{"ready": true} once; {"pid", "isolation"} or {"error"} for a job; {"exited": wait status, "peak_bytes"} when its child
ends by itself; {"killed": whether nothing is left, "cpu_seconds": of all that was reaped since the job} for a kill.
MODULE is imported before the first fork; its `become(job, descriptors, report)` is what each child does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from target.boundary.job import KILL_SECONDS, PACKET_BYTES
from target.process.processes import become_subreaper, kill_descendants
from target.process.trees import remove_tree
from target.sandbox.grants import SHARED_MEMORY, library_grants

TREE_KILL_SECONDS = 45.0  # ending thousands of processes takes long on a busy machine
_MAX_FDS = 8
_FORKS = 3


Become = Callable[[dict[str, Any], list[int], int], NoReturn]


class _Zygote:
    def __init__(self, evaluator: socket.socket, become: Become) -> None:
        self._evaluator = evaluator
        self._become = become
        self._poller = select.poll()
        self._poller.register(evaluator, select.POLLIN)
        self._child: tuple[int, int] | None = None  # pid, pidfd
        self._cpu_before = 0.0
        self._cpus = os.sched_getaffinity(0)

    def run(self) -> None:
        """Serve until the evaluator hangs up."""
        self._send(ready=True)
        while True:
            for fd, _ in self._poller.poll():
                if self._child and fd == self._child[1]:
                    self._bury_child(*self._child)
                elif fd == self._evaluator.fileno() and not self._answer():
                    kill_descendants(KILL_SECONDS)
                    return

    def _answer(self) -> bool:
        try:
            packet, fds, _, _ = socket.recv_fds(self._evaluator, PACKET_BYTES, _MAX_FDS)
        except ConnectionResetError:
            return False
        if not packet:
            return False
        message = json.loads(packet)
        if "job" in message:
            self._fork(message["job"], list(fds))
        else:
            self._kill()
        return True

    def _fork(self, job: dict[str, Any], fds: list[int]) -> None:
        self._cpu_before = _reaped_cpu_seconds()
        os.sched_setaffinity(0, self._cpus)  # an earlier child may have changed it, and the next would inherit that
        for _ in range(_FORKS):
            pid, layers = _confined_child(self._become, job, fds)
            if layers or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
                break  # a child killed during its confinement has run no candidate code: try again
        for fd in fds:
            os.close(fd)
        if not layers:
            self._send(error="a child could not be confined")
            return
        pidfd = os.pidfd_open(pid)
        self._child = (pid, pidfd)
        self._poller.register(pidfd, select.POLLIN)
        self._send(pid=pid, **json.loads(layers))

    def _bury_child(self, pid: int, pidfd: int) -> None:
        _, status, used = os.wait4(pid, 0)
        self._forget_child(pidfd)
        self._send(exited=status, peak_bytes=used.ru_maxrss * 1024)

    def _kill(self) -> None:
        gone = kill_descendants(TREE_KILL_SECONDS)
        _empty_shared_memory()
        if self._child is not None:
            self._forget_child(self._child[1])
        self._send(killed=gone, cpu_seconds=_reaped_cpu_seconds() - self._cpu_before)

    def _forget_child(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        os.close(pidfd)
        self._child = None

    def _send(self, **message: Any) -> None:
        try:
            self._evaluator.send(json.dumps(message).encode())
        except BrokenPipeError:
            return  # the evaluator is gone; the next poll says so


def _confined_child(become: Become, job: dict[str, Any], fds: list[int]) -> tuple[int, bytes]:
    """Fork a child; return its process id and its report on its layers, which is empty if it ended before."""
    report_fd, child_report_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(report_fd)
            become(job, fds, child_report_fd)
        finally:
            os._exit(70)
    os.close(child_report_fd)
    with os.fdopen(report_fd, "rb") as report:
        return pid, report.read()


def _empty_shared_memory() -> None:
    """Remove what a child has left in /dev/shm: the next one must not find it. Outside of namespaces it is not ours."""
    if os.getpid() != 1 or not os.access(SHARED_MEMORY, os.W_OK):  # the first process there is in a view of its own
        return
    for path in Path(SHARED_MEMORY).iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _reaped_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Import what the children need, then serve."""
    evaluator = socket.socket(fileno=int(sys.argv[1]))
    become_subreaper()
    gc.disable()  # next to nothing that an import makes is garbage, and looking for it took a fifth of the start
    become: Become = importlib.import_module(sys.argv[2]).become  # imports torch once for all children
    library_grants()  # once, not in each child
    kill_descendants(KILL_SECONDS)  # a compiler that fails may leave a process; none may be there at the first fork
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"a zygote must have one thread when it forks, importing torch left {threads}")
    gc.freeze()  # the children share the memory pages of all present objects
    gc.enable()
    _Zygote(evaluator, become).run()


if __name__ == "__main__":
    main()
