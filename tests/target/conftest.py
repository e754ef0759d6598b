"""A target that trains in a second, its corpus, and an evaluator that all tests share."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sysconfig
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from target.corpus import CorpusFiles, prepare_corpus
from target.corpus.documents import Source, split_of
from target.evaluator import Evaluator
from target.spec import Corpus, Scoring, TargetSpec

VOCAB_SIZE = 320


@pytest.fixture(scope="session")
def spec() -> TargetSpec:
    return TargetSpec(
        name="test",
        corpus=Corpus(name="packages", vocab_size=VOCAB_SIZE),
        scoring=Scoring(rows=64, batch_rows=16, cuts=32, tolerance_nats=2e-3, start_seconds=0.5, pass_seconds=0.4),
        device="cpu",
        clock="cpu",
        threads=1,
        train_seconds=0.6,
        startup_seconds=0.2,
        finish_seconds=0.1,
        stall_factor=6,
        memory_bytes=3_000_000_000,
        disk_bytes=300_000_000,
        weights_bytes=50_000_000,
        preflight_seconds=1.0,
        sequence_tokens=32,
        packages=(),
    )


@pytest.fixture(scope="session")
def patient_spec(spec: TargetSpec) -> TargetSpec:
    """For programs that sleep until a test lets them go on: on a busy machine that takes longer than five seconds."""
    return dataclasses.replace(spec, stall_factor=200)


@pytest.fixture(scope="session")
def corpus(spec: TargetSpec, tmp_path_factory: pytest.TempPathFactory) -> CorpusFiles:
    """Files of the standard library under names that put a sixth of them into each of val and holdout."""
    root = tmp_path_factory.mktemp("text")
    splits = itertools.cycle(("train", "train", "val", "train", "train", "holdout"))
    numbers = itertools.count()
    for path, split in zip(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60], splits, strict=False):
        name = next(name for number in numbers if split_of(f"text/{(name := f'{number}.py')}") == split)
        (root / name).write_bytes(path.read_bytes()[:10_000])
    return prepare_corpus(
        spec.corpus, source=Source(versions={}, roots={"text": root}), cache=tmp_path_factory.mktemp("cache")
    )


@pytest.fixture(scope="session")
def evaluator(spec: TargetSpec, corpus: CorpusFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluator]:
    with Evaluator(spec, corpus, scratch=tmp_path_factory.mktemp("scratch")) as shared:
        yield shared


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def below(pid: int) -> list[psutil.Process]:
    """Return what is alive below a process."""
    return alive(psutil.Process(pid).children(recursive=True))


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; a zombie does not."""
    running = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def survivors(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run although the pipe they held has ended.

    The kernel closes what a process has open an instant before the process is gone, so there is a short wait. It ends
    before `patient_spec` stops a training that stalls (160 s). Otherwise one that was never cancelled would pass.
    """
    deadline = time.monotonic() + 100
    while (running := alive(processes)) and time.monotonic() < deadline:
        os.sched_yield()
    return running
