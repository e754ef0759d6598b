"""Reads Python scripts that edit the file: open, `replace` with texts that are written out, write. Nothing is run.

Known are the few statements that such a script needs. Each text that it replaces must be in the file exactly once,
as in an edit of any other notation, although Python itself would replace all or none without a word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.edit.foreign import Foreign, lines_of
from operators.edit.text import Block, EditError, quoted, require_own_file
from target.program.syntax import parse

_ADVICE: Final = "a script is never run, so send the edit itself: SEARCH/REPLACE blocks, or the whole file"
_MODULES: Final = frozenset({"pathlib", "os", "sys", "re", "io"})


@dataclass(frozen=True, slots=True)
class _Path:
    name: str


@dataclass(frozen=True, slots=True)
class _File:
    """An open file, and whether it is open for writing."""

    path: _Path
    writes: bool


@dataclass(frozen=True, slots=True)
class _Content:
    """The text of a file after some replacements."""

    path: _Path
    edits: tuple[tuple[str, str], ...] = ()


_Value = _Path | _File | _Content | str | int


_WRITES: Final = re.compile(r"\.write(?:_text)?\(")


class _UnreadError(Exception):
    """A part of the script is not known."""

    def __init__(self, node: ast.AST) -> None:
        super().__init__()
        self.node = node


def script_edits(code: str, own: str) -> Foreign | None:
    """Return the edits of a script that reads a file, replaces texts and writes it; None for any other code.

    Args:
        code: A piece of code.
        own: Name of the file that may be edited.

    Raises:
        EditError: It edits another file, or edits the file in a way that is not read.
    """
    if not any(word in code for word in (".write", "open(")):
        return None
    try:
        body = parse(code).body
    except SyntaxError:
        return None
    reader = _Reader()
    try:
        reader.follow(body)
    except _UnreadError as error:
        if _edits_file(body, own):
            raise EditError(f"the script has {quoted(ast.unparse(error.node))}, which is not read; {_ADVICE}") from None
        return None
    for path in reader.written:
        require_own_file(path.name, own)
    return reader.found if reader.written else None


def refuse_broken_script(code: str, own: str) -> None:
    """Refuse code that does not parse and looks like a script that edits the file.

    Raises:
        EditError: It does.
    """
    if own in code and _WRITES.search(code):
        raise EditError(f"the script that edits {own} is not valid Python; {_ADVICE}")


def _edits_file(body: Sequence[ast.stmt], own: str) -> bool:
    """Whether a script names the file or replaces something, writes, and is no part of a program."""
    nodes = [node for statement in body for node in ast.walk(statement)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    writes = any(isinstance(func, ast.Attribute) and func.attr.startswith("write") for func in calls)
    names = any(text.rpartition("/")[2] == own for text in texts)
    if names:
        return writes and not any(isinstance(node, ast.ClassDef) for node in body)
    replaces = any(isinstance(func, ast.Attribute) and func.attr == "replace" for func in calls)
    return writes and replaces and not any(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in body)


@dataclass(slots=True)
class _Reader:
    """Follows the statements of a script, with what its names stand for."""

    names: dict[str, _Value] = field(default_factory=dict)
    written: list[_Path] = field(default_factory=list)
    found: Foreign = field(default_factory=Foreign)

    def follow(self, body: Sequence[ast.stmt]) -> None:
        """Follow some statements.

        Raises:
            _UnreadError: One is not known.
        """
        for node in body:
            self._statement(node)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=names) if all(alias.name in _MODULES for alias in names):
                pass
            case ast.ImportFrom(module=module) if module in _MODULES:
                pass
            case ast.Assert() | ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._value(value)
            case ast.With(items=[ast.withitem(context_expr=call, optional_vars=ast.Name(id=name))], body=body):
                self.names[name] = self._value(call)
                self.follow(body)
            case ast.If(test=ast.Compare(ops=[ast.NotIn()]), body=body, orelse=[]) if all(map(_ends, body)):
                pass  # a check that the text is there, as for an assertion
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=attr), args=args)):
                self._act(node, target, attr, args)
            case _:
                raise _UnreadError(node)

    def _act(self, node: ast.stmt, target: ast.expr, attr: str, args: Sequence[ast.expr]) -> None:
        place = self._value(target)
        if attr in ("close", "seek", "truncate", "flush") and isinstance(place, _File):
            return
        path = place.path if isinstance(place, _File) and place.writes and attr == "write" else None
        if isinstance(place, _Path) and attr == "write_text":
            path = place
        if path is None or not args:
            raise _UnreadError(node)
        self._write(node, path, self._value(args[0]))

    def _write(self, node: ast.stmt, path: _Path, value: _Value) -> None:
        self.written.append(path)
        if isinstance(value, str):
            self.found.files.append(value)
        elif isinstance(value, _Content) and value.path == path and value.edits:
            self.found.blocks += [
                Block(kind="replacement", old=lines_of(old), new=lines_of(new), file=path.name, partial=True)
                for old, new in value.edits
            ]
        else:
            raise _UnreadError(node)

    def _value(self, node: ast.expr) -> _Value:
        """Return what an expression stands for.

        Raises:
            _UnreadError: It is not known.
        """
        match node:
            case ast.Constant(value=str() | int() as value):
                return value
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                one, other = self._value(left), self._value(right)
                if isinstance(one, str) and isinstance(other, str):
                    return one + other
            case ast.Call(func=ast.Name(id="Path") | ast.Attribute(attr="Path"), args=[name]):
                if isinstance(path := self._value(name), str):
                    return _Path(path)
            case ast.Call(
                func=ast.Name(id="open") | ast.Attribute(value=ast.Name(id="io"), attr="open"), args=[_, *_] as args
            ):
                path, *rest = [self._value(each) for each in args]
                return self._opened(node, path, rest)
            case ast.Call(func=ast.Attribute(value=target, attr=attr), args=args):
                return self._called(node, self._value(target), attr, [self._value(each) for each in args])
        raise _UnreadError(node)

    def _opened(self, node: ast.Call, path: _Value, modes: Sequence[_Value]) -> _File:
        named = [self._value(word.value) for word in node.keywords if word.arg == "mode"]
        mode = next(iter([*modes, *named]), "r")
        if isinstance(path, str):
            path = _Path(path)
        if not isinstance(path, _Path) or mode not in ("r", "w", "rt", "wt", "r+"):
            raise _UnreadError(node)
        return _File(path, writes=mode not in ("r", "rt"))

    def _called(self, node: ast.Call, target: _Value, attr: str, args: Sequence[_Value]) -> _Value:
        match target, attr, args:
            case (_File(path=path), "read", []) | (_Path() as path, "read_text", _):
                return _Content(path)
            case _Path() as path, "open", _:
                return self._opened(node, path, args)
            case _Content(), "replace", [str() as old, str() as new, *_] if old:
                return _Content(target.path, (*target.edits, (old, new)))
        raise _UnreadError(node)


def _ends(node: ast.stmt) -> bool:
    """Whether a statement ends the script, or only tells something."""
    if isinstance(node, ast.Raise):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in (
        "print", "exit", "quit", "sys.exit",
    )  # fmt: skip
