"""The UPPER_CASE constants of a program: found, described and replaced without touching anything else.

A value may be a literal, a constant expression such as `2**19`, or a tuple of numbers, each of which is a constant of
its own: `BETAS[0]`. What stands there keeps its form where the new value can be written in it.
"""

from __future__ import annotations

import ast
import functools
import io
import math
import operator
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from target.inferred import bounds_and_scale, is_left_alone
from target.syntax import parse

Value = bool | int | float | str

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_KNOB: Final = re.compile(r"#\s*knob:\s*(?P<body>[^#;,(]*)")
_BITS: Final = 1_000  # of the largest integer that is a constant: it fits a float
_MOST: Final = 1e18  # of the bounds of a knob
_SHOWN_CHARACTERS: Final = 100
_ELEMENTS: Final = 8  # of a tuple whose numbers are constants
_EXPONENT: Final = 1_000
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
SCALES: Final = ("int", "unit", "pow2", "log", "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """What the comment behind a constant says about its admissible values.

    Attributes:
        low: Smallest admissible number; None if it is not bounded.
        high: Largest admissible number; None if it is not bounded.
        scale: One of `SCALES`, or None to infer it from the value.
        choices: The admissible values; empty if any value within the bounds will do.
        fixed: The constant must not be changed.
    """

    low: float | None = None
    high: float | None = None
    scale: str | None = None
    choices: tuple[Value, ...] = ()
    fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant: `NAME = literal  # knob: ...` at the top level of a program.

    Attributes:
        name: Its name; of a number in a tuple, with its index.
        value: Its value.
        knob: What its comment says.
        line: Line of the value, from 1.
        start: Column of the value's first byte in that line, as `ast` counts.
        end: Column behind the value's last byte.
        base: Of a power of integers, such as `2**19`, the base; None for anything else.
        lead: Of a power, all that stands in front of the exponent.
    """

    name: str
    value: Value
    knob: Knob
    line: int
    start: int
    end: int
    base: int | None = None
    lead: str = ""

    def write(self, value: Value) -> str:
        """Return another value as it is written in the place of this one.

        Raises:
            ValueError: If a float is not finite.
        """
        if self.base is not None and isinstance(value, int) and value > 0:
            exponent = round(math.log(value, self.base))
            if self.base**exponent == value:
                return f"{self.lead}{exponent}"
        return format_value(value)


def parse_constants(source: str) -> dict[str, Constant]:
    """Return the constants of a program by name, in their order.

    A constant is a top-level assignment, on one line, of a bool, a number, a string, an expression of numbers or a
    tuple or list of numbers to one UPPER_CASE name that the program assigns once. Knob comments: `# knob: 2..24 int`,
    `# knob: 1e-4..1 log`, `# knob: relu2 | gelu`, `# knob: fixed`; what follows a `;`, `,` or `(` is for people.
    Without such a comment, `target/inferred.py` says how a constant moves.

    Raises:
        SyntaxError: If the source does not parse.
        ValueError: If a knob comment does not.
    """
    return {constant.name: constant for constant in _parsed(source)}


@functools.lru_cache(maxsize=256)  # a parent is read again for each of its children
def _parsed(source: str) -> tuple[Constant, ...]:
    tree = parse(source)
    comments = _comments(source)
    stored = _stored_names(tree)
    read = _names_read(tree)
    source_lines = list(io.StringIO(source, newline=""))
    found: dict[str, Constant] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name, literal = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            name, literal = node.target, node.value
        else:
            continue
        if not (isinstance(name, ast.Name) and _NAME.match(name.id) and stored[name.id] == 1):
            continue
        if literal.lineno != literal.end_lineno:
            continue
        line = source_lines[literal.lineno - 1]
        if isinstance(literal, ast.Tuple | ast.List):
            values = [_number(element) for element in literal.elts]
            if not 0 < len(values) <= _ELEMENTS or None in values:
                continue
            parts = [(f"{name.id}[{index}]", each) for index, each in enumerate(literal.elts)]
        else:
            parts = [(name.id, literal)]
        for part, node_of_value in parts:
            value = _literal(node_of_value)
            if value is None:
                value = _number(node_of_value)
            if value is None:
                continue
            base, lead = _power(node_of_value, line)
            found[part] = Constant(
                name=part,
                value=value,
                knob=_knob(comments.get(literal.lineno, ""), value, literal.lineno)
                or _inferred(name.id, value, is_read=read is None or name.id in read),
                line=literal.lineno,
                start=node_of_value.col_offset,
                end=node_of_value.end_col_offset or node_of_value.col_offset,
                base=base,
                lead=lead,
            )
    return tuple(found.values())


def replace_constants(source: str, values: Mapping[str, Value]) -> str:
    """Return the program with new values for some of its constants; formatting and comments stay.

    Raises:
        SyntaxError: If the source does not parse.
        ValueError: If a name is not a constant of the program.
    """
    constants = parse_constants(source)
    unknown = sorted(values.keys() - constants.keys())
    if unknown:
        raise ValueError(f"not a constant of the program: {', '.join(unknown)}; it has {', '.join(constants)}")
    return _splice(source, {name: (constants[name], constants[name].write(value)) for name, value in values.items()})


def blank_constants(source: str) -> str:
    """Return the program with every constant's literal replaced by `...`: its skeleton."""
    return _splice(source, {name: (constant, "...") for name, constant in parse_constants(source).items()})


def format_value(value: Value) -> str:
    """Write a value as a Python literal.

    Raises:
        ValueError: If a float is not finite; `nan` and `inf` are names, not literals.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a constant must be finite, got {value}")
    return repr(value)


def _stored_names(tree: ast.Module) -> Counter[str]:
    """Count how often each global name is bound; functions bind their own names, but for those they declare global."""
    stored: Counter[str] = Counter()
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            stored[node.id] += 1
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stored.update(name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return stored


def _literal(node: ast.expr) -> Value | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) and not isinstance(value, bool) and _is_plain(value) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str) and _is_plain(node.value):
        return node.value
    return None


def _number(node: ast.expr) -> int | float | None:
    """Return the value of an expression of numbers; None if it is none, or too large to be computed with."""
    if isinstance(node, ast.Constant):
        value = node.value
        return value if type(value) in (int, float) and _is_plain(value) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _number(node.operand)
        return None if operand is None else -operand if isinstance(node.op, ast.USub) else operand
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        return None
    left, right = _number(node.left), _number(node.right)
    if left is None or right is None or (isinstance(node.op, ast.Pow) and abs(right) > _EXPONENT):
        return None
    try:
        value = _OPERATORS[type(node.op)](left, right)
    except (ArithmeticError, ValueError):
        return None
    return value if type(value) in (int, float) and _is_plain(value) else None


def _power(node: ast.expr, line: str) -> tuple[int | None, str]:
    """Return the base of a power of integers and what stands in front of its exponent; None for anything else."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        return None, ""
    base, exponent = node.left, node.right
    if not (isinstance(base, ast.Constant) and type(base.value) is int and base.value > 1):
        return None, ""
    if not (isinstance(exponent, ast.Constant) and type(exponent.value) is int and exponent.value >= 0):
        return None, ""
    return base.value, line.encode()[node.col_offset : exponent.col_offset].decode()


def _is_plain(value: Value) -> bool:
    """Return whether a value can be written, stored and computed with: not infinite, and no huge integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value.bit_length() <= _BITS


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source, newline=None).readline)  # lines as `ast` counts them
    try:
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error


def _names_read(tree: ast.Module) -> frozenset[str] | None:
    """Return the names that some line reads; None if that does not tell which constants matter.

    A file whose constants nothing in it reads is read by another file, and `globals()` reads all of them.
    """
    read = frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    )
    if read & {"globals", "locals", "vars", "eval", "exec"} or not any(map(_NAME.match, read)):
        return None
    return read


def _inferred(name: str, value: Value, *, is_read: bool) -> Knob:
    if is_left_alone(name, is_read):
        return Knob(fixed=True)
    if isinstance(value, bool | str):
        return Knob()
    low, high, scale = bounds_and_scale(name, value)
    return Knob(low=low, high=high, scale=scale)


def _knob(comment: str, value: Value, line: int) -> Knob | None:
    """Return what a comment says; None if it says nothing."""
    match = _KNOB.search(comment)
    if not match:
        return None
    body = match["body"].strip()
    if body == "fixed":
        return Knob(fixed=True)
    if "|" in body:
        return Knob(choices=tuple(_typed(choice.strip(), value, line) for choice in body.split("|")))
    words = body.split()
    bounds = words[0].split("..", 1) if words else []
    scale = words[1] if len(words) == 2 else None
    shown = f"{body[:_SHOWN_CHARACTERS]!r}"
    if len(bounds) != 2 or not all(bounds) or len(words) > 2 or scale not in (None, *SCALES):
        raise ValueError(
            f"line {line}: a knob is 'LOW..HIGH [{'|'.join(SCALES)}]', 'A | B | C' or 'fixed', got {shown}"
        )
    try:
        low, high = map(float, bounds)
    except ValueError:
        raise ValueError(f"line {line}: the bounds of a knob must be numbers, got {shown}") from None
    if not max(abs(low), abs(high)) < _MOST:
        raise ValueError(f"line {line}: the bounds of a knob must be finite numbers below {_MOST:g}, got {shown}")
    if not low < high:
        raise ValueError(f"line {line}: the lower bound of a knob must be below the upper, got {shown}")
    return Knob(low=low, high=high, scale=scale)


def _typed(text: str, value: Value, line: int) -> Value:
    if isinstance(value, str):
        return text.strip("\"'")
    try:
        choice = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        choice = None
    if not isinstance(choice, bool | int | float | str) or not _is_plain(choice):
        shown = f"{value!r:.{_SHOWN_CHARACTERS}}, got {text[:_SHOWN_CHARACTERS]!r}"
        raise ValueError(f"line {line}: a choice of a knob must be a literal like the value {shown}")
    return float(choice) if isinstance(value, float) and isinstance(choice, int) else choice


def _splice(source: str, literals: Mapping[str, tuple[Constant, str]]) -> str:
    lines = list(io.StringIO(source, newline=""))  # not splitlines: form feeds end no line for `ast`
    for constant, text in literals.values():
        line = lines[constant.line - 1].encode()
        lines[constant.line - 1] = (line[: constant.start] + text.encode() + line[constant.end :]).decode()
    return "".join(lines)
