"""Finds the literal that sets a value: itself, or the one in a conversion or in the default of a variable."""

from __future__ import annotations

import ast
import re
from typing import Final

from target.program.expressions import number_in, number_of

_WHOLE: Final = frozenset({"int", "int32", "int64"})
_REAL: Final = frozenset({"float", "float16", "float32", "float64", "bfloat16"})
_MODULES: Final = frozenset({"np", "numpy", "jnp", "mx", "torch"})

_HELPER: Final = re.compile(r"_?(?:get_?)?env_?(?:int|float|num|number|value|var|or)?")

Number = int | float


def literal_of(node: ast.expr) -> tuple[ast.expr, Number | None]:
    """Return the expression that sets a value, and its number; None if it is no number.

    `int(1e6)`, `np.float32(3e-4)`, `int(os.environ.get("STEPS", 500))`, `float(os.getenv("LR", "3e-4"))` and
    `env_int("STEPS", 500)`, a helper of the program, are set by the literals in them. The variable is assumed to be
    unset, as in a search that does not set it.
    """
    if isinstance(node, ast.Call) and _is_helper(node):
        return (node.args[1], number) if (number := number_of(node.args[1])) is not None else (node, None)
    called = _conversion(node)
    if not called:
        return node, number_of(node)
    assert isinstance(node, ast.Call)
    inner = node.args[0]
    if isinstance(inner, ast.Call) and _asks_environment(inner.func):
        if len(inner.args) != 2 or inner.keywords:
            return node, None
        inner = inner.args[1]
    number = number_of(inner)
    if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
        number = number_in(inner.value.strip())
    if number is None:
        return node, None
    return inner, int(number) if called in _WHOLE else float(number)


def _is_helper(call: ast.Call) -> bool:
    """Return whether a call asks a helper for a variable of the environment: `env_int("STEPS", 500)`."""
    if not isinstance(call.func, ast.Name) or not _HELPER.fullmatch(call.func.id) or len(call.args) != 2:
        return False
    name = call.args[0]
    return not call.keywords and isinstance(name, ast.Constant) and isinstance(name.value, str)


def _conversion(node: ast.expr) -> str:
    """Return the name of the type that a call of one argument converts to; empty for another expression."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return ""
    of = node.func
    if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and of.value.id in _MODULES:
        return of.attr if of.attr in _WHOLE | _REAL else ""
    return of.id if isinstance(of, ast.Name) and of.id in {"int", "float"} else ""


def _asks_environment(function: ast.expr) -> bool:
    """Return whether a function is `os.environ.get` or `os.getenv`, however they were imported."""
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    of = getattr(function, "value", None)
    return name == "getenv" or (name == "get" and getattr(of, "attr", getattr(of, "id", "")) == "environ")
