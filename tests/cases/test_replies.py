"""Replies of every kind that people have met, each in a file of its own, and the program that must come of it.

`replies.json` says for each file of `replies/` which texts of `parent.txt` it changes, or what its refusal says. Those
that are `damaged` were found by `test_mutations.py`. Those that are `complete` count only where the provider says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from operators.edit import EditError
from operators.edit.__main__ import program_of
from target.program import Program

HERE = Path(__file__).parent
PARENT = (HERE / "parent.txt").read_text(encoding="utf-8")
TABLE = json.loads((HERE / "replies.json").read_text(encoding="utf-8"))
REPLIES = {path.stem: path.read_bytes().decode() for path in sorted((HERE / "replies").glob("*.md"))}
VALID = [name for name, row in TABLE.items() if "changes" in row]


def expected(name: str) -> str:
    program = PARENT
    for old, new in TABLE[name]["changes"].items():
        assert old in program, f"{name}: {old!r}"
        program = program.replace(old, new)
    return program


def test_every_file_is_in_the_table_and_every_row_has_a_file() -> None:
    assert REPLIES.keys() == TABLE.keys()


@pytest.mark.parametrize("name", VALID)
def test_the_right_program_comes_of_a_reply(name: str) -> None:
    result = program_of(REPLIES[name], PARENT, complete=TABLE[name].get("complete", False))

    assert result == expected(name) or Program(result).id == Program(expected(name)).id


@pytest.mark.parametrize("name", ["block_without_comment", "block_shorter_comment", "diff_without_comment"])
def test_a_comment_that_was_not_quoted_stays_as_it_is(name: str) -> None:
    assert program_of(REPLIES[name], PARENT) == expected(name)


@pytest.mark.parametrize("name", [name for name in VALID if TABLE[name].get("complete")])
def test_a_change_that_is_only_told_needs_a_complete_reply(name: str) -> None:
    with pytest.raises(EditError, match="no edit"):
        program_of(REPLIES[name], PARENT)


@pytest.mark.parametrize("name", [name for name in TABLE if name not in VALID])
def test_a_reply_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(EditError) as caught:
        program_of(REPLIES[name], PARENT, complete=TABLE[name].get("complete", False))

    assert TABLE[name]["refused"] in str(caught.value)


def test_a_reply_of_a_megabyte_of_marks_is_refused() -> None:
    for unit in (
        "<<<<<<< SEARCH\n",
        "=======\n",
        "```\n",
        "<think>",
        "</think>",
        "<search>\n",
        "{",
        "@@\n",
        "\n",
        "<",
        "cat <<EOF\n",
        "sed -i 's/a/b/' x\n",
        "sed -i '\n",
        "edit(old=1,\n",
        "<|tool_call>call:edit{",
        '<|tool_call>call:a{b:<|"|>',
        "<parameter=old>",
        "```\nedit(old='a', new='b')\n```\nwith\n",
        "CHANGE: set A to 1 ",
    ):
        with pytest.raises(EditError):
            program_of(unit * (1_000_000 // len(unit)), PARENT)


def command(reply: str, *, tmp_path: Path) -> subprocess.CompletedProcess[bytes]:
    (tmp_path / "train.py").write_text(PARENT, encoding="utf-8")
    line = [sys.executable, "-m", "operators.edit", "--reply", reply, str(tmp_path / "train.py")]
    return subprocess.run(line, capture_output=True, check=False, cwd=HERE.parent.parent)


def test_the_command_prints_the_program(tmp_path: Path) -> None:
    done = command(str(HERE / "replies" / "thinking_square_block.md"), tmp_path=tmp_path)

    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected("thinking_square_block"), b"")


def test_the_command_says_why_it_refuses(tmp_path: Path) -> None:
    done = command(str(HERE / "replies" / "block_not_found.md"), tmp_path=tmp_path)

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"refused: SEARCH block 1 of 1 is not in the file; nearest is line 7")


@pytest.mark.parametrize("data", ["LAYERS = 9\n".encode("utf-16"), b"\xef\xbb\xbfLAYERS = 9\n"])
def test_the_command_reads_what_a_byte_order_mark_names(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "reply.md").write_bytes(data)

    assert command(str(tmp_path / "reply.md"), tmp_path=tmp_path).stdout.decode() == expected("value_prose")


def test_the_command_refuses_what_is_no_text_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "reply.md").write_bytes(b"\xff\x00\xc3")

    assert command(str(tmp_path / "reply.md"), tmp_path=tmp_path).returncode == 1
    assert command(str(tmp_path / "none.md"), tmp_path=tmp_path).returncode == 2
