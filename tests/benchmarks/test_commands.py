"""Each benchmark is a command that says how it is called, and can leave its table as data."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPTIONS = re.compile(r"argparse\.ArgumentParser\(|= simulated_options\(")
COMMANDS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if OPTIONS.search(path.read_text()))
COMMANDS.remove("simulated")  # the options of others
STARTED_ELSEWHERE = {"compile", "features", "gpu", "kernels", "overhead", "rows"}  # by the tests of the same names


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_begins_with_its_command_and_takes_json(name: str) -> None:
    source = (BENCHMARKS / f"{name}.py").read_text()

    assert f"\n    python benchmarks/{name}.py " in (ast.get_docstring(ast.parse(source), clean=False) or "")
    assert '"--json", type=user_path' in source or "= simulated_options(" in source


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - STARTED_ELSEWHERE))
def test_a_benchmark_starts_and_explains_itself(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert shown.startswith(f"usage: {name}.py ")
    assert "--json JSON" in shown
    assert f"python benchmarks/{name}.py " in shown


def test_every_benchmark_that_is_not_started_here_has_a_test_of_its_own() -> None:
    assert [name for name in STARTED_ELSEWHERE if not Path(__file__).with_name(f"test_{name}.py").exists()] == []
    assert len(COMMANDS) > len(STARTED_ELSEWHERE)
