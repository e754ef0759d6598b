"""Each command in a code block of the documentation, from its text: its arguments must be those that it takes."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from search.arguments import quote_homes
from search.construct import compose_config, plain_config

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
_COMMAND = re.compile(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?python3? (?P<words>(?:-m |benchmarks/|target/).*)")
_BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n)+", re.MULTILINE)
_OURS = ("benchmarks", "operators", "search", "target")
_HYDRA = ("search", "search.doctor", "search.import_run", "search.noise")


def commands_of(text: str) -> list[list[str]]:
    """Return the words behind `python` of each command in the code blocks of a page."""
    blocks = [*_BLOCK.findall(text), *_INDENTED.findall(_BLOCK.sub("", text))]
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    parts = [part for line in lines for part in re.split(r" && ", line)]
    found = (match for part in parts if (match := _COMMAND.fullmatch(part)))
    # two blanks are in front of a comment, or of what a console says about a command
    return [shlex.split(re.split(r"\s{2,}", match["words"])[0], comments=True) for match in found]


COMMANDS = [
    pytest.param(words, id=f"{page.name}: {' '.join(words)}"[:120])
    for page in PAGES
    for words in commands_of(page.read_text())
]


class ParsedError(BaseException):
    """The arguments were taken: the command goes no further."""


def test_commands_are_found_in_blocks_of_every_kind() -> None:
    text = (
        "```sh\n.venv/bin/pip install -e . && .venv/bin/python -m search a=1  # one\n```\n\nand\n\n"
        "    $ python -m search.report 'a b' \\\n      c\n\nno `python -m inline`\n"
    )

    assert commands_of(text) == [["-m", "search", "a=1"], ["-m", "search.report", "a b", "c"]]
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_documentation_is_taken(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] != "-m":
        name, arguments = words[0].removesuffix(".py").replace("/", "."), words[1:]
    else:
        name, arguments = words[1], words[2:]
    assert importlib.util.find_spec(name), f"there is no module {name}"
    if name.split(".")[0] not in _OURS or name == "target.train" or "--help" in arguments:
        return
    if name in _HYDRA:
        _compose([each for each in arguments if "=" in each and not each.startswith("-")])
    if name == "search":
        assert {each for each in arguments if each.startswith("-")} <= {"-m"}
        return

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", _parse_and_stop)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", _parse_and_stop)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    is_package = hasattr(importlib.import_module(name), "__path__")
    with pytest.raises(ParsedError):
        importlib.import_module(f"{name}.__main__" if is_package else name).main()


def _parse_and_stop(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> NoReturn:
    _, unknown = parser.parse_known_args(arguments)  # leaves with status 2 if they do not fit
    assert not unknown
    raise ParsedError


def _compose(overrides: list[str]) -> None:
    """Compose a search; of a sweep, its first."""
    parsed = OverridesParser.create().parse_overrides(quote_homes(overrides))
    first = [
        f"{each.key_or_group}={next(each.sweep_string_iterator())}" if each.is_sweep_override() else each.input_line
        for each in parsed
    ]
    plain_config(compose_config([each for each in first if each]))
