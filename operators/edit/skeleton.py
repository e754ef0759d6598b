"""Describes the top level of a file, and decides whether a piece of code is a whole file or a fragment of one."""

from __future__ import annotations

import ast
import enum
import functools
import re
from dataclasses import dataclass
from typing import Final

from operators.edit.values import assigned_constant, assigned_name
from target.program.syntax import parse

_MOST: Final = 0.5
"""Least share of a file's names in a whole file, unless it begins and ends like the file."""
_DEFINED: Final = re.compile(r"^(?:(?:async\s+)?(?:def|class)\s+(\w+)|(\w+)\s*(?::[^=\n]+)?=(?!=))", re.MULTILINE)


class Reach(enum.Enum):
    """Whether a piece of code is a whole file or a part."""

    WHOLE = "a whole file"
    FRAGMENT = "a part of the file"
    UNCLEAR = "a whole file or a part of it"


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The statements of a file by name.

    Attributes:
        keys: A key for each statement at the top level, in order; docstrings have none.
        names: Definitions at the top level: functions, classes, variables.
        bound: All names that are bound anywhere, including imports and arguments.
        used: All names that are read anywhere.
        imported: Names that imports at the top level bind.
        last: The last statement, without positions; empty if the file does not parse.
    """

    keys: tuple[str, ...]
    names: frozenset[str]
    bound: frozenset[str]
    used: frozenset[str]
    imported: frozenset[str]
    last: str

    @property
    def runs(self) -> bool:
        """Whether it does more than define names when it is run."""
        return any(key.startswith(("if ", "call ", "run ")) for key in self.keys)

    def ends_twice(self, file: Skeleton) -> bool:
        """Whether the start of the program, which a file ends with, stands in it more often than in that file."""
        last = file.keys[-1] if file.keys else ""
        return last.startswith(("if ", "call ")) and self.keys.count(last) > file.keys.count(last)

    @property
    def only_values(self) -> bool:
        """Whether it only sets names."""
        return all(key.startswith("set ") for key in self.keys)


@functools.lru_cache(maxsize=32)  # each step of the pipeline needs it
def skeleton_of(source: str) -> Skeleton:
    """Return the skeleton of a file; for a file that does not parse, as much as can be found."""
    try:
        body = parse(source).body
    except SyntaxError:
        names = frozenset(name for match in _DEFINED.findall(source) for name in match if name)
        return Skeleton((), names, frozenset(), frozenset(), frozenset(), "")
    statements = [node for node in body if not is_docstring(node)]
    bound, used = set[str](), set[str]()
    for node in ast.walk(ast.Module(body=statements, type_ignores=[])):
        _collect(node, bound, used)
    return Skeleton(
        keys=tuple(key_of(node) for node in statements),
        names=frozenset(name for node in statements if (name := defined_name(node))),
        bound=frozenset(bound),
        used=frozenset(used),
        imported=frozenset(
            (alias.asname or alias.name).split(".")[0]
            for node in statements
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ),
        last=ast.dump(statements[-1]) if statements else "",
    )


def reach_of(piece: Skeleton, file: Skeleton) -> Reach:
    """Return whether a piece of code is a whole file.

    It is a whole file if it defines every name of the file that it uses, ends like the file, and either begins like the
    file or has at least half of its names. It is also a whole file if it runs code and has half of the names, or more
    new names than names of the file.
    """
    if not file.keys and not file.names:
        return Reach.WHOLE
    if file.keys and file.only_values:
        return Reach.WHOLE
    if (piece.used - piece.bound) & (file.names | file.imported):
        return Reach.FRAGMENT
    share = len(piece.names & file.names) / len(file.names) if file.names else 1.0
    if not file.keys:  # the file is damaged: its end cannot be compared
        return Reach.WHOLE if share >= _MOST else Reach.FRAGMENT
    ends = file.keys[-1] in piece.keys
    if ends and (piece.runs or not file.runs) and (share >= _MOST or (file.keys[0] in piece.keys and piece.runs)):
        return Reach.WHOLE
    if piece.runs:
        return Reach.WHOLE if share >= _MOST or _is_another(piece, file) else Reach.UNCLEAR
    return Reach.FRAGMENT


def _is_another(piece: Skeleton, file: Skeleton) -> bool:
    """Whether a piece is a different program that replaces the file: it runs code, and most of it is new."""
    return file.keys[-1] in piece.keys and len(piece.names - file.names) > len(piece.names & file.names)


def defined_name(node: ast.stmt) -> str:
    """Return the name of a function, class or variable at the top level; empty for other statements."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    return assigned_name(node)


def key_of(node: ast.stmt) -> str:
    """Return the key of a statement: two statements with the same key are versions of each other."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"def {node.name}"
    if name := assigned_constant(node):
        return f"set {name}"
    if isinstance(node, ast.Import):
        return "import " + ",".join(alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return f"import {node.module}"
    if isinstance(node, ast.If):
        return f"if {ast.dump(node.test)}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return f"call {ast.dump(node.value.func)}"
    return f"run {type(node).__name__}"


def is_docstring(node: ast.stmt) -> bool:
    """Return whether a statement is only a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _collect(node: ast.AST, bound: set[str], used: set[str]) -> None:
    if isinstance(node, ast.Name):
        (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        bound.add(node.name)
    elif isinstance(node, ast.arg):
        bound.add(node.arg)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        bound.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        bound.add(node.name)
