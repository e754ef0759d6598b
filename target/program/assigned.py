"""Finds what a program assigns to UPPER_CASE names at its top level, and how often it binds each global name."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_ENVIRONMENT: Final = frozenset({"environ", "getenv"})


def assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a program assigns to single UPPER_CASE names at its top level, or where it is the main program.

    `A, B = 1, 2` assigns to two names. `A = B = 1` has one value, which has the first name.
    """
    body = list(tree.body)
    for node in tree.body:
        if isinstance(node, ast.If) and _is_main(node.test):
            body += node.body
    for node in body:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                equal = len(node.targets) == 1 and len(target.elts) == len(value.elts)
                pairs = list(zip(target.elts, value.elts, strict=True)) if equal else []
            elif all(isinstance(each, ast.Name) for each in node.targets):
                pairs = [(target, value)]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        yield from ((to.id, value) for to, value in pairs if isinstance(to, ast.Name) and _NAME.match(to.id))


def stored_names(tree: ast.Module) -> Counter[str]:
    """Count how often each global name is bound; names in functions are local unless they are declared global."""
    stored: Counter[str] = Counter()
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            stored[node.id] += 1
        if isinstance(node, ast.If) and _asks_environment(node.test):
            continue  # `if "LR" in os.environ: LR = ...` sets what the program otherwise has
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stored.update(name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return stored


def _is_main(test: ast.expr) -> bool:
    """Return whether a condition is `__name__ == "__main__"`."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
    )


def _asks_environment(test: ast.expr) -> bool:
    return any(getattr(node, "attr", getattr(node, "id", "")) in _ENVIRONMENT for node in ast.walk(test))
