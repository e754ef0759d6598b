"""The UPPER_CASE literal assignments of a program: found, described and replaced without touching anything else."""

from __future__ import annotations

import ast
import functools
import io
import math
import re
import tokenize
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from target.syntax import parse

Value = bool | int | float | str

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_KNOB: Final = re.compile(r"#\s*knob:\s*(?P<body>[^#;,(]*)")
_RANGE: Final = re.compile(r"(?P<low>[^.\s]\S*?)\.\.(?P<high>\S+)(?:\s+(?P<scale>\w+))?\s*\Z")
SCALES: Final = ("int", "pow2", "log", "linear")


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
        name: Its name.
        value: Its value.
        knob: What its comment says.
        line: Line of the literal, from 1.
        start: Column of the literal's first byte in that line, as `ast` counts.
        end: Column behind the literal's last byte.
    """

    name: str
    value: Value
    knob: Knob
    line: int
    start: int
    end: int


def parse_constants(source: str) -> dict[str, Constant]:
    """Return the constants of a program by name, in their order.

    A constant is a top-level assignment of one bool, number or string literal on one line to one UPPER_CASE name
    that the program assigns once. Knob comments: `# knob: 2..24 int`, `# knob: 1e-4..1 log`, `# knob: relu2 | gelu`,
    `# knob: fixed`; what follows a `;`, `,` or `(` is for people.

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
        value = _literal(literal)
        if value is None or literal.lineno != literal.end_lineno:
            continue
        found[name.id] = Constant(
            name=name.id,
            value=value,
            knob=_knob(comments.get(literal.lineno, ""), value, literal.lineno),
            line=literal.lineno,
            start=literal.col_offset,
            end=literal.end_col_offset or literal.col_offset,
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
    return _splice(source, {name: (constants[name], format_value(value)) for name, value in values.items()})


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
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    return None


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source, newline=None).readline)  # lines as `ast` counts them
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _knob(comment: str, value: Value, line: int) -> Knob:
    match = _KNOB.search(comment)
    if not match:
        return Knob()
    body = match["body"].strip()
    if body == "fixed":
        return Knob(fixed=True)
    if "|" in body:
        return Knob(choices=tuple(_typed(choice.strip(), value, line) for choice in body.split("|")))
    bounds = _RANGE.match(body)
    if not bounds or bounds["scale"] not in (None, *SCALES):
        raise ValueError(
            f"line {line}: a knob is 'LOW..HIGH [{'|'.join(SCALES)}]', 'A | B | C' or 'fixed', got {body!r}"
        )
    try:
        low, high = float(bounds["low"]), float(bounds["high"])
    except ValueError:
        raise ValueError(f"line {line}: the bounds of a knob must be numbers, got {body!r}") from None
    if not low < high:
        raise ValueError(f"line {line}: the lower bound of a knob must be below the upper, got {body!r}")
    return Knob(low=low, high=high, scale=bounds["scale"])


def _typed(text: str, value: Value, line: int) -> Value:
    if isinstance(value, str):
        return text.strip("\"'")
    try:
        choice = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        choice = None
    if not isinstance(choice, bool | int | float | str):
        raise ValueError(f"line {line}: a choice of a knob must be a literal like the value {value!r}, got {text!r}")
    return float(choice) if isinstance(value, float) and isinstance(choice, int) else choice


def _splice(source: str, literals: Mapping[str, tuple[Constant, str]]) -> str:
    lines = list(io.StringIO(source, newline=""))  # not splitlines: form feeds end no line for `ast`
    for constant, text in literals.values():
        line = lines[constant.line - 1].encode()
        lines[constant.line - 1] = (line[: constant.start] + text.encode() + line[constant.end :]).decode()
    return "".join(lines)
