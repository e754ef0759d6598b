"""What `python -m search.doctor` says of the machine: layers of isolation, GPUs, torch, cores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import isolation, machine
from search.doctor.checks.row import Row, State
from search.doctor.checks.subject import Subject
from target.launch.layers import LayerReport
from target.sandbox import namespaces
from tests.search.checkup import only


def layer(report: LayerReport, *, strict: bool) -> Row:
    return isolation.layer_row(report, strict=strict, started="torch starts")


def test_a_layer_that_fails_is_broken_and_one_that_is_lacking_is_not() -> None:
    stopped = LayerReport(name="landlock", ok=False, lacking=False, said="/dev/nvidiactl: denied", remedy="report it")
    lacking = LayerReport(name="landlock", ok=True, lacking=True, said="no Landlock", remedy="")
    works = LayerReport(name="all", ok=True, lacking=False, said="", remedy="")

    row = layer(stopped, strict=False)
    assert (row.state, row.found, row.remedy) == (State.BROKEN, "/dev/nvidiactl: denied", "report it")
    assert layer(lacking, strict=False).state is State.WARNING
    assert "validation text" in layer(lacking, strict=False).cost
    assert layer(lacking, strict=True).state is State.BROKEN
    assert layer(works, strict=True).state is State.FINE


def test_no_sandbox_is_a_warning() -> None:
    row = only(isolation.check_isolation(compose_subject(["target.sandbox=off"])))

    assert (row.state, row.remedy) == (State.WARNING, "target.sandbox=auto")
    assert "validation text" in row.cost


@pytest.mark.skipif(namespaces.missing() is not None, reason="bubblewrap does not work here")
def test_every_layer_is_tried(nowhere: Path) -> None:
    rows = {row.name: row for row in isolation.check_isolation(compose_subject([]))}

    assert {"namespaces", "landlock", "seccomp", "all layers"} <= rows.keys()
    assert all(row.state is State.FINE for row in rows.values()), rows


def cards(*given: dict[str, Any], version: str = "2.13.0+cu130", why: str = "") -> dict[str, Any]:
    return {"version": version, "cuda": "13.0", "hip": None, "cards": list(given), "why": why}


@pytest.fixture
def on_a_gpu() -> Subject:
    return compose_subject(["target=gpu"])


def test_a_gpu_is_fine_shared_or_of_no_use(on_a_gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this has run on a GPU: it is what torch says, as its documentation has it."""
    card = {"name": "Some Card", "memory_bytes": 80_000_000_000, "free_bytes": 79_000_000_000}

    def answer(said: dict[str, Any]) -> list[Row]:
        monkeypatch.setattr(machine, "_ask_torch", lambda: said)
        return list(machine.check_gpus(on_a_gpu))

    assert [row.state for row in answer(cards(card))] == [State.FINE]
    free, shared = answer(cards(card, {**card, "free_bytes": 30_000_000_000}))
    assert (free.name, free.state, shared.name, shared.state) == ("GPU 0", State.FINE, "GPU 1", State.WARNING)
    assert "30 GB free" in shared.found
    (useless,) = answer(cards(card, why="no kernel image is available for execution on the device"))
    assert useless.state is State.BROKEN
    assert "no kernel image" in useless.found


def test_another_torch_is_a_warning(on_a_gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_ask_torch", lambda: cards(version="2.12.1+cu130"))
    row = only(machine.check_torch(on_a_gpu))

    assert (row.state, row.remedy) == (State.WARNING, "pip install torch==2.13.0")
    assert "comparable" in row.cost


def test_more_threads_than_cores_are_a_warning() -> None:
    cores = len(os.sched_getaffinity(0))
    row = only(machine.check_workers(compose_subject([f"executor.workers={cores + 1}"])))

    assert (row.state, row.remedy) == (State.WARNING, f"executor.workers={cores}")
    assert only(machine.check_workers(compose_subject(["executor.workers=1"]))).state is State.FINE
