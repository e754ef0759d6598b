"""What each setting means, read from `conf/`: the comments there, else the docstring of what gets the setting.

No module of Graft is imported for it; sources are only parsed.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

CONF: Final = Path(__file__).parents[2] / "conf"
_LINE: Final = re.compile(r"(?P<indent> *)(?P<key>\w+):(?: +(?P<value>[^#\s].*?))?(?:\s+# *(?P<comment>.*))?")
_REMARK: Final = re.compile(r"(?P<indent> *)# *(?P<comment>.*)")
_TARGET: Final = re.compile(r"^_target_: *(?P<module>[\w.]+)\.(?P<name>\w+)", re.MULTILINE)
_PACKAGE: Final = re.compile(r"# @package (?P<package>[\w.]+)")
_SCHEMA: Final = {
    "": ("search.schema", "Config"),
    "budget": ("search.schema", "Budget"),
    "budget.unset": ("search.schema", "Unset"),
    "final": ("search.schema", "FinalReport"),
    "target": ("target.spec", "TargetSpec"),
    "target.corpus": ("target.spec", "Corpus"),
    "target.scoring": ("target.spec", "Scoring"),
    "agent": ("operators.agent.operator", "AgentOperator"),
}
"""The classes whose docstrings explain settings, where no `_target_` names one."""
_TAKEN_BY: Final = {"command_target": ("target.command.spec", "CommandSpec")}
"""The class that gets the settings of a function without a docstring of its own for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting in one file of `conf/`.

    Attributes:
        key: Its name with dots, as on the command line.
        value: Its value in the file, as text.
        text: What it means: the comment of this file, or what is said elsewhere.
        doc: What the docstring of the class that gets it says; empty if `text` is the same.
        choice: The choice of a group that has it, such as `strategy=beam`; empty for the main file.
    """

    key: str
    value: str
    text: str
    doc: str
    choice: str


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Return all settings, those of the main file first."""
    paths = [CONF / "config.yaml", *sorted(CONF.glob("*/*.yaml"))]
    found = [setting for path in paths for setting in _read(path)]
    elsewhere = {each.key: each.text for each in reversed(found) if each.text}  # prompts are variants of the default
    return tuple(replace(each, text=each.text or elsewhere.get(each.key, "")) for each in found)


@functools.cache
def choices() -> dict[str, dict[str, str]]:
    """Return the groups, and for each of their choices what its file says about it."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(CONF.glob("*/*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        head = [line[1:].strip() for line in lines[: _header_end(lines)] if not line.startswith("# @")]
        found.setdefault(path.parent.name, {})[path.stem] = " ".join(head)
    return found


def _header_end(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


def _read(path: Path) -> Iterator[Setting]:
    """Yield the settings of a file, in its order."""
    text = path.read_text(encoding="utf-8")
    is_main = path.parent == CONF
    package = _PACKAGE.search(text)
    prefix = package["package"] if package else "" if is_main else path.parent.name
    docs = _docs(text, prefix)
    lines = text.splitlines()
    parents: list[tuple[int, str, str]] = []  # indent, key, comment
    above: list[str] = []
    for number, line in enumerate(lines[_header_end(lines) :], start=_header_end(lines)):
        if is_main and line.startswith("hydra:"):
            return
        remark = _REMARK.fullmatch(line)
        if remark:
            above.append(remark["comment"])
            continue
        found = _LINE.fullmatch(line)
        if not found or found["key"] in ("defaults", "_target_", "_partial_", "_convert_") or found["key"].isdigit():
            above = []
            continue
        indent = len(found["indent"])
        parents = [each for each in parents if each[0] < indent]
        key = ".".join([*([prefix] if prefix else []), *(name for _, name, _ in parents), found["key"]])
        comment = " ".join([found["comment"] or "", *_more(lines[number + 1 :], line)]).strip()
        doc = docs.get(key, "")
        comment = comment or " ".join(above) or doc or next((c for _, _, c in parents[::-1] if c), "")
        above = []
        parents.append((indent, found["key"], comment))
        if found["value"] is not None or comment:
            yield Setting(
                key=key,
                value=found["value"] or "",
                text=comment,
                doc="" if doc.casefold().rstrip(".") == comment.casefold().rstrip(".") else doc,
                choice="" if is_main else f"{path.parent.name}={path.stem}",
            )


def _more(lines: list[str], before: str) -> Iterator[str]:
    """Yield the remarks below a line that continue its comment: those that begin in the same column."""
    column = before.find("# ")
    for line in lines:
        if column < 1 or not line.startswith(" " * column + "# "):
            return
        yield line[column + 2 :].strip()


def _docs(text: str, prefix: str) -> dict[str, str]:
    """Return what docstrings say about settings: of the class that a file names, and of those in `_SCHEMA`."""
    found: dict[str, str] = {}
    for group, (module, name) in _SCHEMA.items():
        found |= {f"{group}.{key}".lstrip("."): each for key, each in _entries(module, name).items()}
    if named := _TARGET.search(text):
        module, name = _TAKEN_BY.get(named["name"], (named["module"], named["name"]))
        found |= {f"{prefix}.{key}": each for key, each in _entries(module, name).items()}
    return found


@functools.cache
def _entries(module: str, name: str) -> dict[str, str]:
    """Return what the docstring of a class or function says about its arguments or attributes."""
    path = CONF.parent / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return {}
    doc = ""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in [each.name for each in node.names]:
            return _entries(node.module, name)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            doc = ast.get_docstring(node) or ""
    found: dict[str, str] = {}
    last = ""
    for line in doc.splitlines():
        if entry := re.fullmatch(r" {4}(\w+): (.*)", line):
            last = entry[1]
            found[last] = entry[2]
        elif last and line.startswith(" " * 8):
            found[last] += f" {line.strip()}"
        else:
            last = ""
    return found
