"""Whether two programs can be compared by the size of their models: they train equally, except for the model.

Only then does it say something about one of them that the other one ran out of memory, or did not.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from target.program.program import Program
from target.program.syntax import parse

_AMOUNT: Final = re.compile(r"BATCH|MICRO|TOKEN|ROW|SEQ|MEMORY|CHUNK|SHARD|ACCUM|CHECKPOINT", re.IGNORECASE)
"""Names of numbers that may say how much a training does at once."""


def comparable(first: Program, second: Program) -> bool:
    """Return whether two programs differ at most in what decides the size of the model, or does not affect memory.

    They must have the same skeleton. Of their constants these may differ: integers that `build_model` uses and `main`
    does not, and floats, such as learning rates; but none whose name speaks of batches, rows, tokens or memory. A type
    in an annotation or an `isinstance` is not used.
    """
    if first.skeleton_id != second.skeleton_id:
        return False
    ours, theirs = first.constants, second.constants
    differing = {name for name, value in ours.items() if theirs.get(name) != value}
    try:
        of_model = _of_the_model(parse(first.source))
    except SyntaxError:
        return False
    for name in differing:
        kinds = {type(ours[name]), type(theirs.get(name))}
        whole = kinds == {int} and name.partition("[")[0] in of_model
        if _AMOUNT.search(name) or not (whole or kinds == {float}):
            return False
    return True


def _of_the_model(tree: ast.Module) -> set[str]:
    """Return the global names that are used from `build_model`, directly or not, and not from `main`."""
    bound: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            names = [
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            ]
        for name in names:
            bound.setdefault(name, []).append(node)
    return _used("build_model", bound, leave_out=set()) - _used("main", bound, leave_out={"build_model"})


def _used(root: str, bound: dict[str, list[ast.AST]], leave_out: set[str]) -> set[str]:
    used, new = set[str](), [root]
    while new:
        for node in bound.get(new.pop(), ()):
            fresh = _names(node) - used - leave_out
            used |= fresh
            new += fresh
    return used


def _names(node: ast.AST) -> set[str]:
    """Return the names in a part of a program, without those that only name a type."""
    found, nodes = set[str](), [node]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name):
            found.add(node.id)
        skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            skipped += node.args[1:]
        nodes += [child for child in ast.iter_child_nodes(node) if child not in skipped]
    return found
