"""Each command of the documentation, from its text: its arguments must be those that it takes.

Commands stand in code blocks, in backticks in prose, and in tables. So do settings such as `budget.hours=8`, and flags.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from search.arguments import parsed, quote_homes
from search.construct import compose_search, plain_config
from search.graft import __main__ as graft
from search.graft.texts import COMMANDS as GRAFT

ROOT = Path(__file__).parents[1]
_WRONG = "mistakes.md"  # its commands are refused: tests/search/test_mistakes_page.py
PAGES = (
    *(ROOT / "README.md", ROOT / "SECURITY.md"),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name != _WRONG),
)
_COMMAND = re.compile(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*\.venv/bin/)?python3? (?P<words>(?:-m |benchmarks/|target/).*)")
_PYTEST = re.compile(r"(?:\.venv/bin/)?(?:python3? -m )?pytest (?P<words>.*)")
_PIP = re.compile(r"(?:\.venv/bin/)?pip (?P<words>.*)")
_BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n)+", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_SETTING = re.compile(r"\+?(?P<key>[a-z][\w.]*)=(?P<value>\S+)")
_FLAG = re.compile(r"--[a-z][a-z-]+")
_OURS = ("benchmarks", "operators", "search", "target")
_OF_OTHERS = {"--reasoning-format", "--reasoning-parser", "--config-dir"}  # flags of llama.cpp, vLLM and Hydra
_SERVED = ("target.train", "target.worker", "target.inside.zygote")  # started by other processes; they take no options
_HYDRA = ("search", "search.doctor", "search.import_run", "search.noise")


def commands_of(text: str) -> list[list[str]]:
    """Return the words behind `python` of each command in the code blocks of a page."""
    found = (match for part in _lines(text) if (match := _COMMAND.fullmatch(part)))
    return [_words(match["words"]) for match in found]


def inline_commands_of(text: str) -> list[list[str]]:
    """Return the words behind `python` of each command in backticks; brackets around what may be left out are gone."""
    found = (match for part in _spans(text) if (match := _COMMAND.fullmatch(part)))
    plain = (re.sub(r"(?<=\s)\[|\](?=\s|$)|\.\.\.", "", match["words"]) for match in found)
    return [[word for word in shlex.split(each) if not word.endswith("KEY=VALUE")] for each in plain]


def _lines(text: str) -> list[str]:
    """Return the lines of all code blocks of a page, each command of a chain by itself."""
    blocks = [*_BLOCK.findall(text), *_INDENTED.findall(_BLOCK.sub("", text))]
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [_as_python(part) for line in lines for part in re.split(r" && ", line)]


def _as_python(line: str) -> str:
    """Return a line with a command of `graft` as the module that it is; other lines unchanged."""
    found = re.match(r"graft (\w+)", line)
    return line.replace(found[0], f"python -m {GRAFT[found[1]][0]}", 1) if found and found[1] in GRAFT else line


def _spans(text: str) -> list[str]:
    """Return what stands in backticks outside of code blocks, in one line each."""
    return [" ".join(span.split()) for span in _INLINE.findall(_BLOCK.sub("", text))]


def _words(command: str) -> list[str]:
    # two blanks are in front of a comment, or of what a console says about a command
    return shlex.split(re.split(r"\s{2,}| > ", command)[0], comments=True)


def _cases(words: Iterable[tuple[str, Any]]) -> list[Any]:
    return [
        pytest.param(each, id=f"{page}: {each if isinstance(each, str) else ' '.join(each)}"[:120])
        for page, each in words
    ]


COMMANDS = _cases((page.name, words) for page in PAGES for words in commands_of(page.read_text()))
INLINE = _cases((page.name, words) for page in PAGES for words in inline_commands_of(page.read_text()))
SETTINGS = _cases(
    (page.name, match[0])
    for page in PAGES
    for span in _spans(page.read_text())
    if not _COMMAND.fullmatch(span)
    for word in span.split()
    if (match := _SETTING.fullmatch(word))
)
FLAGS = _cases(
    (page.name, flag)
    for page in PAGES
    for flag in sorted({flag for span in _spans(page.read_text()) for flag in _FLAG.findall(span)} - _OF_OTHERS)
)
TESTS = _cases(
    (page.name, _words(match["words"]))
    for page in PAGES
    for part in [*_lines(page.read_text()), *_spans(page.read_text())]
    if (match := _PYTEST.fullmatch(part))
)


QUESTIONS = _cases(
    (page.name, _words(part)[1:]) for page in PAGES for part in _lines(page.read_text()) if part.startswith("graft ")
)

ALONE = _cases(
    (page.name, _words(line)[0])
    for page in PAGES
    for line in _lines(page.read_text())
    if _SETTING.match(line) and "." in line.partition("=")[0]
)


class ParsedError(BaseException):
    """The arguments were taken: the command goes no further."""


def test_commands_are_found_in_blocks_of_every_kind() -> None:
    text = (
        "```sh\n.venv/bin/pip install -e . && .venv/bin/python -m search a=1  # one\n```\n\nand\n\n"
        "    $ python -m search.report 'a b' \\\n      c\n\nno `python -m inline`\n"
    )

    assert commands_of(text) == [["-m", "search", "a=1"], ["-m", "search.report", "a b", "c"]]
    assert len(COMMANDS) > 40


def test_commands_are_found_in_prose_and_tables() -> None:
    text = (
        "see `python -m search.noise\n  [target=tiny] [target.KEY=VALUE ...] [--seeds 6]`, or\n\n"
        "| `python benchmarks/gpu.py` | a=[b] |\n\n```sh\npython -m search.report x\n```\n"
    )

    assert inline_commands_of(text) == [["-m", "search.noise", "target=tiny", "--seeds", "6"], ["benchmarks/gpu.py"]]
    assert min(len(INLINE), len(SETTINGS), len(FLAGS)) > 10
    assert TESTS


@pytest.fixture
def folders(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the folders of searches that a command names."""
    for word in words:
        if word.startswith("outputs/"):
            (tmp_path / word).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.usefixtures("folders")
def test_a_command_of_the_documentation_is_taken(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, arguments = _module(words)
    if not _is_parsed_here(name, arguments):
        return
    with pytest.raises(ParsedError):
        _start(name, arguments, monkeypatch)


@pytest.mark.parametrize("words", INLINE)
@pytest.mark.usefixtures("folders")
def test_a_command_in_prose_is_taken(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, arguments = _module(words)
    if not _is_parsed_here(name, arguments):
        return
    named_only = all(each.startswith("--") for each in arguments)  # `python -m search.final --workers`
    monkeypatch.setattr(sys.modules[__name__], "_LENIENT", named_only)
    with pytest.raises(ParsedError):
        _start(name, arguments, monkeypatch)


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_question_to_graft_is_answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert graft.main(words) == 0
    assert capsys.readouterr().out


_LENIENT = False


def _module(words: list[str]) -> tuple[str, list[str]]:
    """Return the module that a command starts, which must be there, and its arguments."""
    is_path = words[0] != "-m"
    name = words[0].removesuffix(".py").replace("/", ".") if is_path else words[1]
    assert importlib.util.find_spec(name), f"there is no module {name}"
    return name, words[1:] if is_path else words[2:]


def _is_parsed_here(name: str, arguments: list[str]) -> bool:
    """Check the settings of a search, and return whether the module parses its arguments with argparse."""
    if name.split(".")[0] not in _OURS or name in _SERVED or "--help" in arguments:
        return False
    if name in _HYDRA:
        own = ROOT / arguments[arguments.index("--config-dir") + 1] if "--config-dir" in arguments else None
        _compose([each for each in arguments if "=" in each and not each.startswith("-")], own)
    if name == "search":
        assert {each for each in arguments if each.startswith("-")} <= {"-m", "--json", "--config-dir"}
        return False
    return True


def _start(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", _parse_and_stop)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", _parse_and_stop)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    is_package = hasattr(importlib.import_module(name), "__path__")
    importlib.import_module(f"{name}.__main__" if is_package else name).main()


def _parse_and_stop(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> NoReturn:
    if _LENIENT:
        known = {flag for action in parser._actions for flag in action.option_strings}
        assert set(sys.argv[1:]) <= known
    else:
        _, unknown = parser.parse_known_args(arguments)  # leaves with status 2 if they do not fit
        assert not unknown
    raise ParsedError


def _compose(overrides: list[str], config_dir: Path | None) -> None:
    """Compose a search; of a sweep, its first."""
    parsed = OverridesParser.create().parse_overrides(quote_homes(overrides))
    first = [
        f"{each.key_or_group}={next(each.sweep_string_iterator())}" if each.is_sweep_override() else each.input_line
        for each in parsed
    ]
    plain_config(compose_search([each for each in first if each], config_dir=config_dir).config)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_in_prose_is_one(setting: str) -> None:
    key, _, value = setting.lstrip("+").partition("=")
    if (ROOT / "conf" / key).is_dir():
        choices = {path.stem for path in (ROOT / "conf" / key).glob("*.yaml")}
        assert value.isupper() or set(value.split("|")) <= choices
    else:
        assert key in _keys() or any(known.endswith(f".{key}") for known in _keys())


@pytest.mark.parametrize("setting", ALONE)
def test_a_setting_in_a_block_needs_no_more_quotes(setting: str) -> None:
    assert parsed(setting) is not None
    assert setting.partition("=")[0] in _keys()


@functools.cache
def _keys() -> set[str]:
    """Return all settings, with dots in them."""
    found = set[str]()
    for path in (ROOT / "conf").rglob("*.yaml"):
        group = path.parent.name if path.parent != ROOT / "conf" else ""
        package = re.search(r"^# @package (\S+)", path.read_text(), re.MULTILINE)
        _add_keys(found, package[1] if package else group, yaml.safe_load(path.read_text()))
    return found


def _add_keys(found: set[str], prefix: str, node: Any) -> None:
    for key, each in node.items() if isinstance(node, dict) else ():
        path = f"{prefix}.{key}".lstrip(".")
        found.add(path)
        _add_keys(found, path, each)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_in_prose_is_one_of_some_command(flag: str) -> None:
    assert flag in _flags()


@functools.cache
def _flags() -> set[str]:
    sources = (path.read_text() for folder in (*_OURS, "tests") for path in (ROOT / folder).rglob("*.py"))
    return {flag for text in sources for flag in re.findall(r'add(?:_argument|option)\(\s*"(--[a-z-]+)"', text)}


@pytest.mark.parametrize("words", TESTS)
def test_a_command_that_runs_tests_names_what_there_is(words: list[str]) -> None:
    options = (ROOT / "tests" / "hostile" / "conftest.py").read_text()

    for word in words:
        if word.startswith("--"):
            assert f'"{word}"' in options
        elif "/" in word:
            assert (ROOT / word).exists()


def test_what_pip_is_to_install_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [
        _words(match["words"])
        for page in PAGES
        for part in [*_lines(page.read_text()), *_spans(page.read_text())]
        if (match := _PIP.fullmatch(part))
    ]

    assert found
    for verb, *words in found:
        for extra in re.findall(r"\[([\w,]+)\]", " ".join(words)):
            assert set(extra.split(",")) <= project["optional-dependencies"].keys()
        assert verb != "show" or words == [project["name"]]
