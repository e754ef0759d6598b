"""Evaluators with and without the layers of isolation, and the table of what every candidate came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from target.corpus import CorpusFiles
from target.evaluation import Evaluation, Outcome
from target.evaluator import Evaluator
from target.spec import TargetSpec
from tests.target.conftest import corpus, log, spec  # noqa: F401 -- fixtures

_DETAIL_CHARACTERS = 90
_ROWS: list[tuple[str, str, str, str]] = []


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def hostile_spec(spec: TargetSpec) -> TargetSpec:  # noqa: F811
    """Little memory, so that it is filled quickly; short patience; as many cuts as a target has for each trial."""
    scoring = dataclasses.replace(spec.scoring, cuts=128, seconds=4)
    return dataclasses.replace(spec, scoring=scoring, memory_bytes=1_000_000_000, disk_bytes=200_000_000)


@pytest.fixture(scope="session")
def confined(hostile_spec: TargetSpec, corpus: CorpusFiles, scratch: Path) -> Iterator[Evaluator]:  # noqa: F811
    with Evaluator(dataclasses.replace(hostile_spec, sandbox="strict"), corpus, scratch=scratch) as evaluator:
        yield evaluator


@pytest.fixture(scope="session")
def unconfined(hostile_spec: TargetSpec, corpus: CorpusFiles, scratch: Path) -> Iterator[Evaluator]:  # noqa: F811
    with Evaluator(dataclasses.replace(hostile_spec, sandbox="off"), corpus, scratch=scratch) as evaluator:
        yield evaluator


@pytest.fixture
def tell():
    """Put a verdict into the table."""

    def tell(name: str, tries: str, found: Evaluation, *, hostile: bool = False) -> None:
        detail = " ".join(found.detail.split()) or f"val_bpb {found.val_bpb:.3f}"
        outcome = "harmless" if hostile and found.outcome is Outcome.OK else found.outcome.value
        _ROWS.append((name, tries, outcome, detail[:_DETAIL_CHARACTERS]))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    rows = [("name", "what it tries", "outcome", "detail"), *_ROWS]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    terminalreporter.section("hostile candidates")
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        terminalreporter.write_line("  ".join([*cells, row[3]]))
