"""The layering is a test: imports go one way, modules stay small, `--help` stays quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MODULES as MODULES_OF_FAST
from tests.conftest import SLOW

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "target": {"target"},
    "operators": {"operators", "target"},
    "search": {"search", "operators", "target"},
    "conf": set(),
}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found


LONGEST = {"target/train.py": 450}  # a program is one file, so its parts cannot be modules


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_imports_only_downwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]

    assert imports_of(path) & MAY_IMPORT.keys() <= MAY_IMPORT[package]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST.get(path.relative_to(ROOT).as_posix(), 340)


def test_the_lists_of_the_fast_suite_name_what_is_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in MODULES_OF_FAST)

    assert sorted(name for name in SLOW if f"def {name}(" not in text) == []


WALL_CLOCKS = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime", "strftime"}
STAMPS = {
    ("search/mlflow/store.py", "time_ns"),
    ("search/mlflow/sending.py", "time_ns"),
    ("operators/agent/trouble.py", "time"),
    ("operators/llm/refusals.py", "time"),
    ("search/watch.py", "strftime"),
    ("target/corpus/prepared.py", "time_ns"),
}
"""Where MLflow is told when something was, a provider names the date at which to ask again, a line of the log has the
time of day, or a file's time of change is compared with the present."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_duration_is_taken_from_a_clock_that_jumps(path: Path) -> None:
    calls = {
        (str(path.relative_to(ROOT)), node.attr)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in ("time", "datetime", "date") and node.attr in WALL_CLOCKS
    }
    assert calls <= STAMPS


def test_help_waits_for_nothing_heavy() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "search", "--help"], capture_output=True, text=True, check=True
    )

    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in shown.stderr.splitlines()}
    assert "hydra" in imported
    assert imported.isdisjoint({"torch", "mlflow", "litellm", "optuna", "matplotlib", "numpy", "rich"})
    assert "python -m search -m strategy=greedy,random" in shown.stdout
