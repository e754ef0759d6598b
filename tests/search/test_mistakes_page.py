"""docs/mistakes.md: each command on the page gets the message that the page shows."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from search.arguments import refuse_arguments
from search.errors import UserError
from search.graft.__main__ import main as graft
from search.graft.texts import COMMANDS
from search.library import Search
from target.errors import TargetError

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
BLOCKS = re.findall(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
FIRST = "target=landscape strategy=greedy budget.trainings=2 tracker=none"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which a search named `first` was run."""
    folder = tmp_path_factory.mktemp("newcomer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Search("name=first", *FIRST.split(), quiet=True).run()
    return folder


def answer(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command prints that is wrong."""
    words = shlex.split(command)
    if words[0] == "graft" and words[1] not in COMMANDS:
        graft(words[1:])
        return capsys.readouterr().err
    module = COMMANDS[words[1]][0] if words[0] == "graft" else words[2]
    name, *given = [*module.split(), *words[2 if words[0] == "graft" else 3 :]]
    if name != "search":
        is_package = importlib.util.find_spec(name).submodule_search_locations  # type: ignore[union-attr]
        importlib.import_module(f"{name}.__main__" if is_package else name).main(given)
        return capsys.readouterr().err
    try:
        refuse_arguments(given)
        Search(*given, quiet=True).run()
    except (UserError, TargetError) as error:
        return f"error: {error}\n".replace(sys.executable, "python")
    raise AssertionError(f"{command} is no mistake")


@pytest.mark.parametrize(("command", "message"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_a_command_of_the_page_gets_its_message(
    command: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)

    assert answer(command, capsys) == message
    assert message.count("\n") == 1


def test_the_page_has_at_least_twenty_mistakes() -> None:
    assert len(BLOCKS) >= 20
