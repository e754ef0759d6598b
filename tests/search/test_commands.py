"""How the commands beside the search fail."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import search
from search.commands import fails_with_a_line, show
from search.direction import find_direction
from search.errors import UserError
from target.errors import TargetError
from target.output import READER_GONE

ROOT = Path(search.__path__[0]).parent
OTHERS = {"search.__main__", "search.graft.__main__", "search.graft.configuration"}
"""They take no input, or answer to wrong input themselves: `test_main.py` and `test_graft.py` check it."""
COMMANDS = sorted(
    {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "search").rglob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8")
    }
    - OTHERS
)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("give a folder"), 2, "error: give a folder"),
        (TargetError("no device"), 2, "error: no device"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), 2, "error: x.json: No such file or directory"),
        (OSError("the line is dead"), 2, "error: the line is dead"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_input_machine_and_user_get_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @fails_with_a_line
    def main() -> int:
        raise error

    assert main() == code
    assert capsys.readouterr().err == f"{line}\n"


def test_commands_end_quietly_when_the_reader_of_their_output_has_ended(tmp_path: Path) -> None:
    """Help, a list, and more text than a buffer holds; in separate processes, side by side."""
    calls = (["search", "--help"], ["search.status", str(tmp_path)], ["search.graft"], ["target.seed"])
    reader, writer = os.pipe()
    os.close(reader)
    begun = [
        subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
        for words in calls
    ]
    os.close(writer)

    assert [(each.communicate()[1], each.returncode) for each in begun] == [("", READER_GONE)] * len(calls)


def test_another_broken_pipe_is_told() -> None:
    @fails_with_a_line
    def main() -> int:
        raise BrokenPipeError(32, "Broken pipe", "to a worker")

    assert main() == 2


def test_a_terminal_without_a_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii", write_through=True))

    show("2.7 \N{RIGHTWARDS ARROW} 2.5\n")

    assert terminal.getvalue() == b"2.7 \\u2192 2.5\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere.md", "No such file or directory"), (".", "Is a directory"), ("odd.md", "it is not text in UTF-8")],
)
def test_a_direction_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "odd.md").write_bytes(b"\xff\xfe")

    with pytest.raises(UserError) as caught:
        find_direction(tmp_path / name)
    assert str(caught.value) == f"direction must name a text file, {tmp_path / name} cannot be read: {said}"


def test_a_defect_of_ours_passes() -> None:
    @fails_with_a_line
    def main() -> int:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        main()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_other_command_fails_in_this_way(name: str) -> None:
    main = importlib.import_module(name).main

    assert main.__code__ is fails_with_a_line(lambda: 0).__code__
