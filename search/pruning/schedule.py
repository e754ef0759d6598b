"""Whether two programs differ in their schedule: then their losses in mid-training cannot be compared.

A later warm-up or a higher learning rate raises the loss of the first half, and may lower that of the end. The schedule
of a program is what mentions it by name: each simple statement, and each condition, with an identifier or a key such
as `WARMUP_FRACTION`, `lr`, `momentum`, `progress` or `schedule`, and each function whose name says so. That includes
too much rather than too little.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from target.program import Program
from target.program.syntax import parse

_NAMES: Final = re.compile(
    r"warm|cool_?down|schedul|momentum|anneal|cosine|progress|learning_?rate|(?<!weight_)decay|(?:^|_)(?:lr|lrs)(?:_|$)",
    re.IGNORECASE,
)
_FUNCTIONS: Final = ast.FunctionDef | ast.AsyncFunctionDef


def changes_schedule(old: Program, new: Program) -> bool:
    """Return whether two programs differ in their schedule; true also if one of them does not parse."""
    try:
        return _schedule(old.source) != _schedule(new.source)
    except (SyntaxError, RecursionError):
        return True


def _schedule(source: str) -> Counter[str]:
    """Return the parts of a program that belong to its schedule, as text."""
    return Counter(_parts(parse(source)))


def _parts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and _NAMES.search(node.name):
            own = node.body[ast.get_docstring(node, clean=False) is not None :]
            yield "\n".join(map(ast.unparse, (node.args, *own)))
        elif isinstance(node, ast.stmt):
            simple = not hasattr(node, "body")
            heads = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
            yield from (ast.unparse(part) for part in ([node] if simple else heads) if _mentions(part))


def _mentions(part: ast.AST) -> bool:
    """Return whether an identifier in a part of a program, or a text with the form of one, has such a name."""
    return any(_NAMES.search(name) for node in ast.walk(part) for name in _names_in(node))


def _names_in(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.Constant(value=str(text)) if text.isidentifier():
            yield text
