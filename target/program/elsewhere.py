"""Finds numbers of a program that look like settings but are no constants: no operator without a model moves them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

ARGUMENTS: Final = "defaults of add_argument"
LOWER_CASE: Final = "not in upper case"
FIELDS: Final = "fields of a class"


def numbers_elsewhere(tree: ast.Module) -> dict[str, list[str]]:
    """Return the names of numbers that are set outside of UPPER_CASE constants, by where they are set.

    Only what has a fixed number or a boolean there counts: `add_argument("--lr", default=0.1)`, `learning_rate = 0.1`
    at the top level, and `lr: float = 0.1` in the body of a class at the top level.

    Args:
        tree: The program.
    """
    found = {
        ARGUMENTS: list(dict.fromkeys(_arguments(tree))),
        LOWER_CASE: [name for name in dict.fromkeys(_assigned(tree.body)) if name != name.upper()],
        FIELDS: [
            f"{each.name}.{name}"
            for each in tree.body
            if isinstance(each, ast.ClassDef)
            for name in dict.fromkeys(_assigned(each.body))
        ],
    }
    return {place: names for place, names in found.items() if names}


def _arguments(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            flags = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            default = next((each.value for each in node.keywords if each.arg == "default"), None)
            if flags and _is_number(default):
                yield max(flags, key=len)  # the long one of -b, --batch-size


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and _is_number(node.value):
            yield target.id


def _is_number(node: ast.expr | None) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)
