"""Parts of a file, such as a function: each replaces the definition of the same name in the file, or is refused."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.edit.elision import missing_code
from operators.edit.skeleton import is_docstring, key_of
from operators.edit.text import EditError, first_line, quoted, split_lines, with_endings_of
from operators.edit.values import assigned_constant, assigned_name, constants_of, literal_value, refuse_unknown
from target.program.constants import Value, replace_constants
from target.program.expressions import number_of
from target.program.syntax import parse

ADVICE: Final = (
    "send SEARCH/REPLACE blocks, or the whole file, or whole functions, classes and constants that the file has"
)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class _Place:
    """A range of lines of the file (counted from 0, end exclusive), and its statement."""

    start: int
    stop: int
    node: ast.stmt


@dataclass(slots=True)
class _Plan:
    """The changes of fragments.

    Attributes:
        values: New values of constants.
        lines: Replacements of lines: from, to, new.
        names: Trees of the new statements by key; those equal to the file's are left out.
    """

    values: dict[str, Value] = field(default_factory=dict)
    lines: list[tuple[int, int, list[str]]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)


def with_fragments(pieces: Sequence[str], source: str) -> str:
    """Return the file with the new parts from pieces of code; equal to the file if they have nothing new.

    A function, class, method or variable replaces the only one of its name; a constant keeps its comment. A statement
    with a new name is inserted before the statement that follows it in the piece, and an import after the imports.

    Args:
        pieces: Pieces of code that parse.
        source: The file.

    Raises:
        EditError: A piece cannot be placed with certainty.
    """
    try:
        tree = parse(source)
    except SyntaxError as error:
        raise EditError(
            "the answer has a part of the file, but the present file does not parse: write the whole file"
        ) from error
    if "\r" in source.replace("\r\n", "\n"):
        raise EditError(f"the file has line breaks of several kinds: {ADVICE}")
    lines = split_lines(source)[0]
    plan = _Plan()
    for piece in pieces:
        _Placer(piece, tree, lines, source, plan).place()
    for name in plan.values:
        if name.endswith("]") and f"set {name.partition('[')[0]}" in plan.names:
            raise EditError(f"{name} is set twice, by itself and with its tuple: which value is meant?")
    result = _spliced(lines, plan.lines)
    text = with_endings_of(source, "\n".join(result) + ("\n" if source.endswith("\n") else ""))
    try:
        return replace_constants(text, plan.values) if plan.values else text
    except (SyntaxError, ValueError) as error:
        raise EditError(str(error)) from error


class _Placer:
    """Finds the places of the statements of one piece of code."""

    def __init__(self, piece: str, tree: ast.Module, lines: Sequence[str], source: str, plan: _Plan) -> None:
        self._piece = piece.split("\n")
        self._body = [node for node in parse(piece).body if not is_docstring(node)]
        self._tree, self._lines, self._plan = tree, lines, plan
        self._constants = constants_of(source)
        self._places = dict[str, list[_Place]]()
        for node in tree.body:
            start, stop = _extent(node)
            self._places.setdefault(key_of(node), []).append(_Place(start, stop, node))
        self._trees = {ast.dump(node) for node in tree.body}

    def place(self) -> None:
        """Add the statements to the plan.

        Raises:
            EditError: A statement cannot be placed.
        """
        new = list[ast.stmt]()
        anchored = False
        values_only = all(assigned_constant(each) for each in self._body)
        for node in self._body:
            if ast.dump(node) in self._trees:
                anchored = True
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
                continue
            if self._element(node):
                anchored = True
                continue
            place = self._place_of(node)
            if place is None and values_only:
                raise refuse_unknown(first_line(self._text(node)), self._constants)
            if place is None:
                new.append(node)
                continue
            self._insert(new, place.start)
            new, anchored = [], True
            self._replace(node, place)
        if new and not anchored:
            raise self._homeless()
        if new:
            self._insert(new, self._end_of_definitions())

    def _element(self, node: ast.stmt) -> bool:
        """Add the value of one number of a tuple, `BETAS[0] = 0.9`; return whether the statement is of this kind."""
        name = assigned_constant(node)
        if name == assigned_name(node) or name not in self._constants:
            return False
        value = literal_value(node) if isinstance(node, ast.Assign) else None
        if value is None:
            raise EditError(f"{first_line(self._text(node))!r} does not set a number: write the whole tuple")
        if self._is_new(node):
            self._plan.values[name] = value
        return True

    def _homeless(self) -> EditError:
        return EditError(
            f"the answer has a piece of code, which begins {quoted(first_line(self._piece))}, but not its place "
            f"in the file, which has no such name at its top level; {ADVICE}"
        )

    def _place_of(self, node: ast.stmt) -> _Place | None:
        key = key_of(node)
        places = self._places.get(key, [])
        if len(places) == 1:
            return places[0]
        if places:
            raise EditError(f"the file has {key.removeprefix('set ')} {len(places)} times: which is meant? {ADVICE}")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (methods := self._methods(node)):
            if len(methods) > 1:
                raise EditError(f"the file has a method {node.name} {len(methods)} times: which is meant? {ADVICE}")
            return methods[0]
        if isinstance(node, _Definition) or assigned_constant(node):
            return None
        raise EditError(
            f"the answer has a piece of code with {quoted(first_line(self._text(node)))}, which has no name "
            f"that would show its place in the file; {ADVICE}"
        )

    def _methods(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[_Place]:
        arguments = [*node.args.posonlyargs, *node.args.args]
        if not arguments or arguments[0].arg not in ("self", "cls"):
            return []
        classes = [each for each in self._tree.body if isinstance(each, ast.ClassDef)]
        found = [
            each for cls in classes for each in cls.body if isinstance(each, _Definition) and each.name == node.name
        ]
        return [_Place(*_extent(each), each) for each in found]

    def _replace(self, node: ast.stmt, place: _Place) -> None:
        if not self._is_new(node):
            return
        new = self._text(node)
        old = list(self._lines[place.start : place.stop])
        left_out = missing_code(old, [*new, *self._comments_below(node)], self._lines)
        if left_out is not None:
            raise EditError(f"the piece of code leaves code out ({left_out!r}): write every line out")
        if isinstance(node, ast.ClassDef) and isinstance(place.node, ast.ClassDef):
            _refuse_lost_methods(node, place.node)
        name = assigned_name(node)
        if name and isinstance(node, ast.Assign | ast.AnnAssign):
            value = literal_value(node)
            if name in self._constants:
                self._refuse_no_number(node, name, value)
            if name in self._constants and value is not None:
                self._plan.values[name] = value
                return
            if node.value is None:
                raise EditError(f"{first_line(new)!r} does not set a value")
        _refuse_shared_lines(place.node, self._lines)
        if name and len(new) == 1:
            behind = old[-1].encode()[place.node.end_col_offset or 0 :].decode()
            new = [new[0] if "#" in new[0] else new[0].rstrip() + behind]
        self._plan.lines.append((place.start, place.stop, _indented(new, place.node, node)))

    def _comments_below(self, node: ast.stmt) -> list[str]:
        """Return the comments at the end of a definition, such as `# ... rest`, which Python does not count to it."""
        below = list[str]()
        for line in self._piece[_extent(node)[1] :] if isinstance(node, _Definition) else ():
            bare = line.lstrip()
            if bare and (not bare.startswith("#") or len(line) - len(bare) <= node.col_offset):
                break
            below.append(line)
        return below

    def _refuse_no_number(self, node: ast.Assign | ast.AnnAssign, name: str, value: Value | None) -> None:
        """Refuse text for a number, and a range such as `10-12`, which Python reads as a difference."""
        now = self._constants[name].value
        if isinstance(now, bool | str):
            return
        text = quoted(first_line(self._text(node)))
        if isinstance(value, str):
            raise EditError(f"{name} is a number in the file, got {text}")
        if isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.Sub):
            ends = [number_of(each) for each in (node.value.left, node.value.right) if isinstance(each, ast.Constant)]
            low, high = ends if len(ends) == 2 else (None, None)
            if low is not None and high is not None and low <= high:
                raise EditError(f"{text} can be a range: write one number")

    def _is_new(self, node: ast.stmt) -> bool:
        """Whether a statement was not given before; refuse a different one of the same name."""
        known = key_of(node) in self._plan.names
        key, tree = key_of(node), ast.dump(node)
        if self._plan.names.setdefault(key, tree) != tree:
            name = key.split(" ", 1)[1]
            raise EditError(f"{name} is set twice: which {'value' if key.startswith('set ') else 'text'} is meant?")
        return not known

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        existing = {
            (getattr(each, "module", None), alias.name, alias.asname)
            for each in self._tree.body
            if isinstance(each, ast.Import | ast.ImportFrom)
            for alias in each.names
        }
        if all((getattr(node, "module", None), alias.name, alias.asname) in existing for alias in node.names):
            return
        last = [each for each in self._tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        head = [each for each in self._tree.body[:1] if is_docstring(each)]
        stop = _extent((last or head)[-1])[1] if last or head else 0
        self._enter(stop, self._text(node))

    def _insert(self, nodes: Iterable[ast.stmt], place: int) -> None:
        for node in nodes:
            if self._is_new(node):
                self._enter(place, [*self._text(node), *([""] * (2 if isinstance(node, _Definition) else 1))])

    def _enter(self, place: int, text: list[str]) -> None:
        if (place, place, text) not in self._plan.lines:
            self._plan.lines.append((place, place, text))

    def _end_of_definitions(self) -> int:
        """Return the line of the last statement; new definitions that nothing in the piece follows go before it."""
        return _extent(self._tree.body[-1])[0]

    def _text(self, node: ast.stmt) -> list[str]:
        start, stop = _extent(node)
        text = self._piece[start:stop]
        _refuse_shared_lines(node, self._piece)
        return text


def _extent(node: ast.stmt) -> tuple[int, int]:
    """Return the range of lines of a statement with its decorators (from 0, end exclusive)."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    return first - 1, node.end_lineno or node.lineno


def _refuse_shared_lines(node: ast.stmt, lines: Sequence[str]) -> None:
    first = lines[node.lineno - 1].encode()[: node.col_offset]
    behind = lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset or 0 :].decode().strip()
    if first.strip() or (behind and not behind.startswith("#")):
        raise EditError(f"{quoted(lines[node.lineno - 1].strip())} holds several statements; {ADVICE}")


def _refuse_lost_methods(new: ast.ClassDef, old: ast.ClassDef) -> None:
    kept = {each.name for each in new.body if isinstance(each, _Definition)}
    lost = [each.name for each in old.body if isinstance(each, _Definition) and each.name not in kept]
    if lost:
        raise EditError(
            f"the class {new.name} in the answer lacks {', '.join(lost)}, which the file has: are they deleted, or "
            "only left out? Write the whole file, or a SEARCH/REPLACE block"
        )


def _indented(text: list[str], place: ast.stmt, node: ast.stmt) -> list[str]:
    """Return lines with the indentation of their new place."""
    depth = place.col_offset
    if not depth:
        return text
    texts = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr) and is_docstring(each)}
    for each in ast.walk(node):
        if id(each) in texts or not isinstance(each, ast.Constant | ast.JoinedStr):
            continue
        if each.lineno != each.end_lineno:
            raise EditError(
                f"{quoted(first_line(text))} has a string of several lines, whose indentation would change; {ADVICE}"
            )
    return [" " * depth + line if line.strip() else line for line in text]


def _spliced(lines: Sequence[str], changes: Iterable[tuple[int, int, list[str]]]) -> list[str]:
    result = list(lines)
    numbered = sorted(enumerate(changes), key=lambda each: (each[1][0], each[1][1], each[0]), reverse=True)
    for _, (start, stop, new) in numbered:
        result[start:stop] = new
    return result
