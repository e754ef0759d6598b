"""The executor of a Ray cluster: trainings on the GPUs or cores of its nodes, pre-flights on the machine of the search.

Each slot is an actor that Ray places on a node with a free GPU, or with free cores. The actor prepares the target's
files on its node, and refuses a node with another torch, text or code. Programs travel as text, results as plain data.
If a node is lost, its training is run again on another node, once; a second loss stops the search, which can resume.

Source of the interface: Ray's documentation, sections Actors and Fault tolerance, docs.ray.io.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from target.cluster.host import TRIES_ON_HOSTS, Answer, Host, import_path
from target.cluster.likeness import likeness
from target.errors import TargetError
from target.executor import PooledExecutor
from target.kind import Kind
from target.workers import Pool, WorkerDied

_END_SECONDS: Final = 15.0
_REACH_SECONDS: Final = 10.0


class RayExecutor(PooledExecutor):
    """Runs trainings on the nodes of a Ray cluster.

    Args:
        kind: The target.
        workers: Trainings side by side; None for as many as the cluster has GPUs, or cores for their threads.
        preflight_workers: Pre-flights that run beside them, on this machine.
        address: Of the cluster; `auto` for one that runs on this machine or is named by RAY_ADDRESS, `local` to start
            one of this machine alone.
        wait_seconds: How long a training waits for a node when none is left.

    Raises:
        TargetError: Ray is not installed, no cluster answers, or it has less than was asked for.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        workers: int | None = None,
        preflight_workers: int = 1,
        address: str = "auto",
        wait_seconds: float = 600.0,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._ray = _connect(address, kind)
        try:
            self._slots, threads = _divide(self._ray.nodes(), kind, workers)
            super().__init__(kind.with_threads(threads), preflight_workers=preflight_workers)
        except TargetError:
            self._ray.shutdown()
            raise

    @property
    def slots(self) -> int:
        """How many evaluations run side by side."""
        return self._slots

    def close(self) -> None:
        """End everything at once, and leave the cluster; unfinished work raises `TargetError`."""
        super().close()
        self._ray.shutdown()

    def _make_training_pool(self, first: dict[str, Any]) -> Pool:
        expected = likeness(self._kind, first["configure"]["settings"])
        actor = self._ray.remote(_Actor).options(**_resources(self._kind), max_restarts=0)
        place = functools.partial(_RayWorker, self._ray, actor.remote, self._wait_seconds)
        begin = {"begin": {"kind": self._kind, "expected": expected}}
        return Pool([place] * self._slots, begin, tries=TRIES_ON_HOSTS)


class _Actor:
    """Holds a `Host` in a process of a node."""

    def begin(self, kind: Kind, expected: Mapping[str, str]) -> Answer:
        """Make the host ready."""
        self._host = Host(kind, expected)
        try:
            self._host.start()
        except TargetError as error:
            return self._host.failure(error)
        return Answer()

    def evaluate(self, **arguments: Any) -> Answer:
        """Train and score a program."""
        return self._host.ask({"evaluate": arguments})

    def end(self) -> None:
        """End the worker, and wait until nothing of it is left."""
        self._host.close()


class _RayWorker:
    """An actor, as a pool sees it."""

    def __init__(self, ray: Any, start: Callable[[], Any], wait_seconds: float) -> None:
        self._ray = ray
        self._wait_seconds = wait_seconds
        self._actor = start()

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer of the node."""
        ((name, arguments),) = request.items()
        timeout = self._wait_seconds if name == "begin" else None
        try:
            answer = self._ray.get(getattr(self._actor, name).remote(**arguments), timeout=timeout)
        except self._ray.exceptions.GetTimeoutError:
            raise TargetError(
                f"no node of the Ray cluster was ready within executor.wait_seconds={self._wait_seconds:g}: "
                f"{_name_nodes(self._ray.nodes())}; start nodes with `ray start`, and the same command resumes"
            ) from None
        except self._ray.exceptions.RayActorError as error:
            self.hang_up()  # it may be alive, behind a connection that is not
            raise WorkerDied(" ".join(str(error).split())) from error
        return answer.result(Path(arguments.get("log", os.devnull)))

    def hang_up(self) -> None:
        """End the actor at once; its worker ends with it."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)

    def end(self) -> str:
        """End the actor, after its worker if it answers."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._actor.end.remote(), timeout=_END_SECONDS)
        self.hang_up()
        return ""


def _connect(address: str, kind: Kind) -> Any:
    """Return the module `ray`, connected to the cluster."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise TargetError(f"executor=ray needs Ray: pip install 'graft-search[ray]' ({error})") from error
    places = (*import_path(kind), os.environ.get("PYTHONPATH"))
    path = os.pathsep.join(dict.fromkeys(filter(None, places)))
    try:
        _reach(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            **({"include_dashboard": False} if address == "local" else {}),
        )
    except (OSError, ValueError) as error:
        raise TargetError(
            f"no Ray cluster answers at executor.address={address}: {' '.join(str(error).split())}; start one with "
            "`ray start --head`, or give executor.address=local for one on this machine alone"
        ) from error
    return ray


def _reach(address: str) -> None:
    """Raise `OSError` if a port does not answer: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


def _resources(kind: Kind) -> dict[str, float]:
    """Return what a training takes of a node."""
    return {"num_gpus": 1, "num_cpus": 1} if kind.device == "cuda" else {"num_cpus": kind.threads}


def _divide(nodes: list[dict[str, Any]], kind: Kind, workers: int | None) -> tuple[int, int]:
    """Return the number of trainings side by side, and the threads of each."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    threads = kind.threads
    if kind.device == "cuda":
        cards = [int(each.get("GPU", 0)) for each in alive]
        shares = [int(each.get("CPU", 0)) // n for each, n in zip(alive, cards, strict=True) if n]
        fitting, threads = sum(cards), max(1, min([threads, *shares]))
        what = "GPUs"
    else:
        fitting = sum(int(each.get("CPU", 0)) // threads for each in alive)
        what = f"places for {threads} CPU threads"
    wanted = fitting if workers is None else workers
    if not 1 <= wanted <= fitting:
        raise TargetError(
            f"executor.workers must be at most {fitting}, the number of {what} in the Ray cluster, got "
            f"{'null' if workers is None else workers}: {_name_nodes(nodes)}"
        )
    return wanted, threads


def _name_nodes(nodes: list[dict[str, Any]]) -> str:
    """Return a phrase about the nodes that are alive: `node 10.0.0.2 has 16 CPUs, 1 GPUs`."""
    alive = [node for node in nodes if node["Alive"]]
    phrases = [
        f"node {node['NodeManagerAddress']} has {node['Resources'].get('CPU', 0):g} CPUs, "
        f"{node['Resources'].get('GPU', 0):g} GPUs"
        for node in alive
    ]
    return "; ".join(phrases) or "it has no node"
