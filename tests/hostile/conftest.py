"""Evaluators with and without the layers of isolation, and the table of what every candidate came to."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import py_compile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from target.corpus import CorpusFiles
from target.corpus.documents import held_out_files
from target.evaluation import Evaluation, Outcome
from target.evaluator import Evaluator
from target.process.processes import forbid_new_privileges
from target.sandbox import grants, landlock, missing_layers, namespaces, seccomp
from target.sandbox.access import NO_DEVICE, rehearsed_access
from target.spec import Sandbox, TargetSpec
from tests.target.conftest import corpus, log, spec  # noqa: F401 -- fixtures

_DETAIL_CHARACTERS = 90
_ROWS: list[tuple[str, str, str, str]] = []
_FUZZED: Counter[str] = Counter()
_LAYERS: dict[str, bool] = {}
_CREATE_RULESET = 444  # Landlock's first call, on every architecture
_SECCOMP = {"x86_64": 317, "aarch64": 277}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without",
        action="append",
        default=[],
        choices=("landlock", "seccomp", "namespaces"),
        help="run the hostile candidates as on a machine that lacks a layer; may be repeated",
    )
    parser.addoption("--fuzz", type=int, metavar="N", help="how many random programs test_fuzz.py runs")
    parser.addoption("--fuzz-seed", type=int, default=0, metavar="S", help="the seed of the first of them")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def hostile_spec(spec: TargetSpec) -> TargetSpec:  # noqa: F811
    """Little memory, so that it is filled quickly; short patience; as many cuts as a target has for each trial."""
    scoring = dataclasses.replace(spec.scoring, cuts=128)
    return dataclasses.replace(spec, scoring=scoring, memory_bytes=1_000_000_000, disk_bytes=200_000_000)


@pytest.fixture(scope="session")
def in_force(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Take away the layers of `--without`, as on a machine that lacks them, and return which of them are left."""
    without = request.config.getoption("without", default=[])
    machine = os.uname().machine
    if "namespaces" in without:
        os.environ["PATH"] = str(_programs_without("bwrap", tmp_path_factory.mktemp("bin")))
    if "landlock" in without or "seccomp" in without:
        forbid_new_privileges()
    if "landlock" in without:
        seccomp.forbid([_CREATE_RULESET], errno.ENOSYS)
    if "seccomp" in without:
        seccomp.forbid([_SECCOMP[machine]], errno.ENOSYS)
    found = {"L": landlock.abi() >= landlock.ABI_TRUNCATE, "S": seccomp.available(), "N": namespaces.missing() is None}
    for layer, there in found.items():
        _LAYERS[{"L": "landlock", "S": "seccomp", "N": "namespaces"}[layer]] = there
    found["C"] = os.geteuid() == 0 and not found["N"]
    return frozenset(layer for layer, there in found.items() if there)


def _programs_without(name: str, folder: Path) -> Path:
    """Return a folder to which PATH can be set that has all programs but one."""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = folder / program.name
            if program.name != name and not link.is_symlink():  # not `exists`: some links lead nowhere
                link.symlink_to(program)
    return folder


@pytest.fixture(scope="session")
def held_out_text(hostile_spec: TargetSpec) -> Path:
    """An installed file whose text is held out."""
    return max(held_out_files(hostile_spec.corpus), key=lambda path: path.stat().st_size)


@pytest.fixture(scope="session")
def copies(held_out_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copies of it in a directory that candidates may read, because its libraries are loaded from there."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "renamed.txt").write_bytes(held_out_text.read_bytes())
    py_compile.compile(str(held_out_text), cfile=str(folder / "other.pyc"), doraise=True)
    with zipfile.ZipFile(folder / "any.whl", "w") as archive:
        archive.write(held_out_text, "any.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(folder), prepend=os.pathsep)
        grants.trees.cache_clear()
        grants.library_grants.cache_clear()
        yield folder
    grants.trees.cache_clear()
    grants.library_grants.cache_clear()


@pytest.fixture(scope="session")
def confine(
    hostile_spec: TargetSpec,
    copies: Path,
    corpus: CorpusFiles,  # noqa: F811
    scratch: Path,
    in_force: frozenset[str],
) -> Iterator[Callable[[str], Evaluator]]:
    """As strict as this machine allows, with the grants of a training on a `cpu` or with those of one on `cuda`."""
    sandbox: Sandbox = "auto" if missing_layers() else "strict"
    strict = dataclasses.replace(hostile_spec, sandbox=sandbox)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def confine(grant: str) -> Evaluator:
            access = rehearsed_access("/dev/full") if grant == "cuda" else NO_DEVICE
            return stack.enter_context(Evaluator(strict, corpus, scratch=scratch, access=access))

        yield confine


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def confined(request: pytest.FixtureRequest, confine: Callable[[str], Evaluator]) -> Evaluator:
    return confine(request.param)


@pytest.fixture(scope="session")
def patient(hostile_spec: TargetSpec, corpus: CorpusFiles, scratch: Path) -> Iterator[Evaluator]:  # noqa: F811
    """For what costs CPU seconds before it fails: they must not run out first, on a busy machine either."""
    scoring = dataclasses.replace(hostile_spec.scoring, start_seconds=10.0)
    patient = dataclasses.replace(hostile_spec, train_seconds=10.0, scoring=scoring)
    with Evaluator(patient, corpus, scratch=scratch) as evaluator:
        yield evaluator


@pytest.fixture(scope="session")
def unconfined(hostile_spec: TargetSpec, copies: Path, corpus: CorpusFiles, scratch: Path) -> Iterator[Evaluator]:  # noqa: F811
    with Evaluator(dataclasses.replace(hostile_spec, sandbox="off"), corpus, scratch=scratch) as evaluator:
        yield evaluator


@pytest.fixture
def tell():
    """Put a verdict into the table."""

    def tell(name: str, tries: str, found: Evaluation, *, hostile: bool = True, outcome: str | None = None) -> None:
        detail = " ".join(found.detail.split()) or f"val_bpb {found.score:.3f}"
        passed = ("harmless" if hostile else "accepted") if found.outcome is Outcome.OK else found.outcome.value
        _ROWS.append((name, tries, outcome or passed, detail[:_DETAIL_CHARACTERS]))

    return tell


@pytest.fixture
def count():
    """Count the verdict on a random program."""

    def count(found: Evaluation) -> None:
        _FUZZED[found.outcome.value] += 1

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FUZZED:
        terminalreporter.section("random hostile programs")
        counts = ", ".join(f"{count} {outcome}" for outcome, count in _FUZZED.most_common())
        terminalreporter.write_line(f"{_FUZZED.total()} programs: {counts}")
    if not _ROWS:
        return
    rows = [("name", "what it tries", "outcome", "detail"), *_ROWS]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    terminalreporter.section("hostile candidates")
    here = ", ".join(name for name, there in _LAYERS.items() if there)
    lacking = ", ".join(name for name, there in _LAYERS.items() if not there)
    terminalreporter.write_line(
        f"user {os.geteuid()}; layers: {here or 'none'}; not here, so not tested: {lacking or 'none'}\n"
    )
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        terminalreporter.write_line("  ".join([*cells, row[3]]))
    counts = Counter(row[2] for row in _ROWS)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    terminalreporter.write_line(f"\n{len(_ROWS)} candidates: {summary}")
