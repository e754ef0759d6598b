"""Replies of every kind that people have met, each in a file of its own, and the program that must come of it.

`replies.json` says for each file of `replies/` which texts of `parent.txt` it changes, or what its refusal says.
"""

from __future__ import annotations

import html
import json
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from operators.edit import EditError
from operators.edit.__main__ import program_of
from target.program import Program
from target.program.contract import ContractError

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
    result = program_of(REPLIES[name], PARENT)

    assert result == expected(name) or Program(result).id == Program(expected(name)).id


@pytest.mark.parametrize("name", [name for name in TABLE if name not in VALID])
def test_a_reply_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(EditError) as caught:
        program_of(REPLIES[name], PARENT)

    assert TABLE[name]["refused"] in str(caught.value)


MARK = re.compile(r"\s*(?:<{3,}|={3,}|>{3,}|```|~~~|@@|---|\+\+\+|\*\*\*|<|\[)")
FULLY = ["file_before_and_after", "file_draft_and_last", "file_tilde", "file_bare_with_prose", "file_unclosed",
         "part_function_and_constant", "part_with_new_function", "part_method", "value_fence", "value_prose",
         "value_json",
         "block_start_line_both", "block_line_numbers", "block_marks_0", "block_ascii", "block_html", "block_roo_multi",
         "diff", "diff_dots", "diff_git", "diff_codex", "json_edit", "json_tool_call", "json_whole_file",
         "tags_edit", "tags_parameters", "tags_write_to_file", "thinking_square_block", "thinking_square_file",
         "thinking_harmony_block", "thinking_fence_file", "thinking_nested_block"]  # fmt: skip
"""Replies of which a hundred mutations are tried; of the others, five."""
SEVERAL = {
    "file_draft_and_last",
    "file_in_parts",
    "part_before_after",
    "value_arrows_in_list",
    "value_list",
    "json_array",
    "tags_two",
    "diff_dots",
    "part_function_and_constant",
}
"""What lies before the cut is a complete answer there, and no reader can know that more was to come."""
HEADLESS = {"thinking_closing_only_block", "thinking_closing_only_file", "thinking_closing_only_square_block",
            "thinking_closing_only_square_file", "thinking_closing_only_midline_block",
            "thinking_closing_only_midline_file", "thinking_harmony_cut_start_block",
            "thinking_harmony_cut_start_file"}  # fmt: skip
"""Thinking that is known by its end only: cut before that, it is an answer."""


def on_a_mark(lines: list[str], rng: random.Random) -> str:
    marks = [number for number, line in enumerate(lines) if MARK.match(line)]
    if not marks:
        return "\n".join(lines)
    number = rng.choice(marks)
    line = lines[number]
    one, other = rng.sample("<>=-+`~", 2)
    lines[number] = rng.choice(
        [line[1:], line[:1] + line, line.replace(one, other), line.swapcase(), f"\xa0{line} ", f"> {line}",
         f"\ufeff{line}\u200b", f"`{line}`", f"{line}\n{line}", "\0"]
    )  # fmt: skip
    return "\n".join(line for line in lines if line != "\0")


def in_another_encoding(text: str, rng: random.Random) -> str:
    return rng.choice(
        [text.replace("\n", "\r\n"), "\ufeff" + text, unicodedata.normalize("NFD", text), html.escape(text),
         text.encode().decode("latin-1"), text.encode().decode("cp1252", "replace"),
         text.encode("ascii", "replace").decode(), text.replace('"', "“"), text.replace("    ", "\xa0   "),
         text.replace("-", "‑").replace("'", "’")]
    )  # fmt: skip


def mutated(name: str, rng: random.Random) -> str:
    text, way = REPLIES[name], rng.randrange(5)
    if way == 0 and name not in SEVERAL | HEADLESS:
        return text[: rng.randrange(len(text))]
    if way == 1 and name not in SEVERAL:
        return text[rng.randrange(len(text)) :]
    if way == 2:
        return text + rng.choice(["", "\n"]) + text
    if way == 3:
        return in_another_encoding(text, rng)
    return on_a_mark(text.split("\n"), rng)


@pytest.mark.parametrize("name", VALID)
def test_of_a_damaged_reply_comes_the_right_program_or_none(name: str) -> None:
    right = Program(expected(name)).id
    for number in range(100 if name in FULLY else 5):
        reply = mutated(name, random.Random(f"{name} {number}"))  # the seed names the case
        try:
            program = program_of(reply, PARENT)
        except (EditError, ContractError):
            continue
        assert Program(program).id == right, f"mutation {number} of {name}:\n{reply}"


def test_a_reply_of_a_megabyte_of_marks_is_refused() -> None:
    for unit in ("<<<<<<< SEARCH\n", "=======\n", "```\n", "<think>", "</think>", "<search>\n", "{", "@@\n", "\n", "<"):
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
    assert done.stderr.startswith(b"refused: SEARCH block 1 of 1 is not in train.py; nearest is line 7")


@pytest.mark.parametrize("data", ["LAYERS = 9\n".encode("utf-16"), b"\xef\xbb\xbfLAYERS = 9\n"])
def test_the_command_reads_what_a_byte_order_mark_names(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "reply.md").write_bytes(data)

    assert command(str(tmp_path / "reply.md"), tmp_path=tmp_path).stdout.decode() == expected("value_prose")


def test_the_command_refuses_what_is_no_text_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "reply.md").write_bytes(b"\xff\x00\xc3")

    assert command(str(tmp_path / "reply.md"), tmp_path=tmp_path).returncode == 1
    assert command(str(tmp_path / "none.md"), tmp_path=tmp_path).returncode == 2
