"""What `python -m search.doctor` says of the parts of a search: operators, targets, constants, an earlier search."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import corpus, isolation, programs
from search.doctor.checks.row import Row, State
from search.errors import UserError
from tests.search.checkup import only


def test_an_operator_without_what_it_needs_is_broken() -> None:
    def operator(*overrides: str) -> Row:
        return only(programs.check_operators(compose_subject(overrides)))

    assert operator("operator=patch").remedy.startswith("set llm.model")
    assert "no program 'nothere'" in operator("operator=agent", "agent.command=nothere -p").found
    assert operator("operator=agent", "agent.command=cat").state is State.FINE
    assert operator("operator=patch", "llm.model=openai/x", "llm.api_base=http://127.0.0.1:9/v1").state is State.FINE
    assert operator("direction=/nowhere.md").state is State.BROKEN
    assert "without llm.model it leaves out crossover, patch" in operator("operator=mix").text


def test_parts_of_the_user_are_found(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").write_text("_target_: search.strategies.greedy.Greedy\n")
    settings = ("strategy=mine", "target=landscape", "operator=constants")

    assert only(programs.check_operators(compose_subject(settings, config_dir=tmp_path))).state is State.FINE
    with pytest.raises(UserError, match="config_dir must be a folder, got 'nowhere'"):
        compose_subject(settings, config_dir=Path("nowhere"))


def test_a_target_of_the_user_needs_its_directory_its_command_and_its_file(tmp_path: Path) -> None:
    (tmp_path / "sort.py").write_text("print(1)\n")

    def target(**settings: str) -> Row:
        plain = {"root": str(tmp_path), "file": "sort.py", "command": "python sort.py", "metric": "n"} | settings
        overrides = ["target=command", *(f"target.{name}={value}" for name, value in plain.items())]
        return only(programs.check_target(compose_subject(overrides)))

    assert target().state is State.FINE
    assert "must be a directory" in target(root=str(tmp_path / "nowhere")).found
    assert "nothere" in target(command="nothere sort.py").found
    assert "cannot read the program" in target(file="other.py").found
    (tmp_path / "half.py").write_text("def f(:\n")
    assert "syntax: half.py:1: invalid syntax" in target(file="half.py").found


@pytest.mark.parametrize(
    ("source", "settings", "warns"),
    [
        ("print('n:', 1)\n", {}, True),
        ("print('n:', 1)\n", {"metric_file": "null"}, False),
        ("print('n:', 1)\n", {"metric_pattern": "'n: ([0-9]+)'"}, False),
        ("open('result.json', 'w').write('{}')\n", {}, False),
        ("print('n:', 1)\n", {"command": "python sort.py --out result.json"}, False),
        ("import report\n", {}, False),
    ],
)
def test_a_program_that_prints_its_score_is_told_of_the_setting(
    tmp_path: Path, source: str, settings: dict[str, str], warns: bool
) -> None:
    (tmp_path / "sort.py").write_text(source)
    if "report" in source:
        (tmp_path / "report.py").write_text("OUT = 'result.json'\n")
    plain = {"root": str(tmp_path), "file": "sort.py", "command": "python sort.py", "metric": "n"} | settings
    overrides = ["target=command", *(f"target.{name}={value}" for name, value in plain.items())]
    rows = list(programs.check_metric_file(compose_subject(overrides)))

    assert [row.state for row in rows] == [State.WARNING] * warns
    assert all("target.metric_file=null" in row.text for row in rows)


def test_it_says_which_constants_can_move() -> None:
    (row,) = programs.check_constants(compose_subject(["target=landscape"]))

    assert (row.state, row.name) == (State.FINE, "constants")
    assert row.text.startswith("10 constants can move: DEPTH, WIDTH, BATCH_TOKENS, ")
    plain = {"root": "/nowhere", "file": "a.py", "command": "python a.py", "metric": "n"}
    nowhere = compose_subject(["target=command", *(f"target.{name}={value}" for name, value in plain.items())])
    assert list(programs.check_constants(nowhere)) == []


def test_an_earlier_search_to_begin_with_must_be_there(nowhere: Path) -> None:
    settings = ("target=landscape", "operator=constants", "tracker=none")
    assert list(programs.check_from(compose_subject(settings))) == []
    row = only(programs.check_from(compose_subject([*settings, "from=outputs/mar8"])))
    assert (row.state, row.cost) == (State.BROKEN, "there is nothing to begin with")

    command = [sys.executable, "-m", "search", "name=mar8", *settings, "budget.trainings=2"]
    subprocess.run(command, cwd=nowhere, check=True, capture_output=True)
    row = only(programs.check_from(compose_subject([*settings, "from=outputs/mar8"])))
    assert (row.state, row.found) == (State.FINE, "outputs/mar8: 1 trial: 1 baseline")


def test_simulated_targets_need_neither_isolation_nor_text() -> None:
    subject = compose_subject(["target=landscape", "operator=switch"])

    assert only(programs.check_target(subject)).state is State.FINE
    assert only(isolation.check_isolation(subject)).state is State.FINE
    assert list(corpus.check_corpus(subject)) == []
