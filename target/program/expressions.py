"""Numbers written as expressions, such as `15 * 2**14`: evaluates them, and writes new values in the same form."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from target.program.syntax import parse

_BITS: Final = 1_000  # of the largest integer: it fits a float
_DEPTH: Final = 32  # of nested operations
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}
_LARGEST_RIGHT: Final[Mapping[type[ast.operator], int]] = {ast.Pow: 1_000, ast.LShift: 62}


def is_plain(value: float | str) -> bool:
    """Return whether a value can be written, stored and used in arithmetic: not infinite, and no huge integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value.bit_length() <= _BITS


def number_of(node: ast.expr, depth: int = _DEPTH) -> int | float | None:
    """Return the value of an expression of numbers; None if it is another expression, or too large for arithmetic.

    Args:
        node: The expression.
        depth: Largest number of nested operations.
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, int | float) and _is_number(node.value) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd) and depth:
        operand = number_of(node.operand, depth - 1)
        return None if operand is None else -operand if isinstance(node.op, ast.USub) else operand
    if not (isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS and depth):
        return None
    left, right = number_of(node.left, depth - 1), number_of(node.right, depth - 1)
    if left is None or right is None or abs(right) > _LARGEST_RIGHT.get(type(node.op), math.inf):
        return None
    try:
        value = _OPERATORS[type(node.op)](left, right)
    except (ArithmeticError, ValueError, TypeError):  # a shift of a float is a TypeError
        return None
    return value if _is_number(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and is_plain(value)


def number_in(text: str) -> int | float | None:
    """Return the value of an expression of numbers given as text; None for any other text."""
    try:
        return number_of(_expression(text))
    except SyntaxError:
        return None


def doubles(node: ast.expr) -> bool:
    """Return whether an expression is written with a power of two as a factor: `2**19`, `15 * 2**14`, `1 << 19`."""
    return any(base == 2 for _, base in _holes(node))


def rewritten(text: str, value: int) -> str | None:
    """Change one integer of an expression so that the expression has the given value; None if this is impossible.

    Only an exponent or the first factor changes: `15 * 2**14` becomes `15 * 2**13`, `4 * 1024` becomes `2 * 1024`.

    Args:
        text: The expression, on one line.
        value: The value that the expression must have.
    """
    node = _expression(text)
    now = number_of(node)
    if not isinstance(now, int) or now < 1 or value < 1:
        return None
    for leaf, base in sorted(_holes(node), key=lambda hole: hole[1] is None):  # exponents first
        number = leaf.value * value // now if base is None else leaf.value + round(math.log(value / now, base))
        changed = f"{text[: leaf.col_offset - 1]}{number}{text[(leaf.end_col_offset or 0) - 1 :]}"
        if number >= (base is None) and number_of(_expression(changed)) == value:
            return changed
    return None


def _expression(text: str) -> ast.expr:
    """Parse an expression of one or more lines; columns count from the added opening parenthesis."""
    body = parse(f"({text})").body
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise SyntaxError("not one expression")
    return body[0].value


def _holes(node: ast.expr) -> Iterator[tuple[Any, int | None]]:
    """Yield the integers of a product that may change: each exponent with its base, and the first factor with None."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, None
    if not isinstance(node, ast.BinOp):
        return
    if isinstance(node.op, ast.Mult):
        yield from _holes(node.left)
        yield from (hole for hole in _holes(node.right) if hole[1] is not None)
    exponent = node.right
    if not (isinstance(exponent, ast.Constant) and type(exponent.value) is int):
        return
    if isinstance(node.op, ast.LShift):
        yield from _holes(node.left)
        yield exponent, 2
    base = node.left
    if isinstance(node.op, ast.Pow) and isinstance(base, ast.Constant) and type(base.value) is int and base.value > 1:
        yield exponent, base.value
