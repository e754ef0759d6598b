"""Finds the constants that affect what a program does: they are read, and not only to scale a printed figure."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from target.program.syntax import parents_of

NOT_READ: Final = "not read"
ONLY_PRINTED: Final = "only scales what is printed"
_READ_ALL: Final = frozenset({"globals", "locals", "vars", "eval", "exec"})
_ARGUMENTS: Final = frozenset({"args", "opt", "opts", "options", "hparams"})  # usual names of parsed arguments
_PRINTS: Final = re.compile(r"print\w*|log|info|debug|warning")
_PASS_ON: Final = re.compile(r"abs|float|format|int|max|min|round|str")


def idle_names(tree: ast.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the constants without effect, each with the reason: nothing reads it, or it only scales a printed figure.

    In `mfu = 100 * speed / PEAK` and `print(f"mfu: {mfu:.1f}")`, PEAK only scales a printed figure. A name in a string
    counts as read, because `getattr` may use it. If no constant had an effect beyond printing, printing is all that the
    program does, so all constants that are read count. If none is printed either, another file reads them. Another file
    may also read them if the program looks up names, for example with `globals()`.

    Args:
        tree: The program.
        names: Its constants.
    """
    names = set(names)
    uses = _Uses(tree, names)
    matter, printed = uses.found()
    if not matter.intersection(names):
        matter = uses.read if printed.intersection(names) else names
    if uses.read_all():
        return {}
    return {name: ONLY_PRINTED if name in uses.read else NOT_READ for name in names - matter}


class _Uses:
    """Follows values from where a name is read to where they are used."""

    def __init__(self, tree: ast.Module, names: set[str]) -> None:
        self._parents = parents_of(tree)
        self._reads = [node for node in self._parents if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
        self._texts = {node.value for node in self._parents if isinstance(node, ast.Constant) and node.value in names}
        self.read = {node.id for node in self._reads}

    def read_all(self) -> bool:
        """Return whether the program may look up any name; `vars(args)` has the names of arguments only."""
        return any(node.id in _READ_ALL and not self._is_vars_of_arguments(node) for node in self._reads)

    def _is_vars_of_arguments(self, node: ast.Name) -> bool:
        call = self._parents[node]
        if node.id != "vars" or not isinstance(call, ast.Call) or call.func is not node or len(call.args) != 1:
            return False
        return isinstance(call.args[0], ast.Name) and call.args[0].id in _ARGUMENTS

    def found(self) -> tuple[set[str], set[str]]:
        """Return the names whose values are used beyond printed figures, and those used in printed figures."""
        matter, printed, sources = set(self._texts), set[str](), defaultdict[str, set[str]](set)
        for node in self._reads:
            goals = self._goals(node)
            if not goals:
                (matter if goals is None else printed).add(node.id)
            for goal in goals or ():
                sources[goal].add(node.id)
        return _reached(matter, sources), _reached(printed, sources)

    def _goals(self, node: ast.AST) -> list[str] | None:
        """Return the names assigned from a value or its multiple; empty if it is printed; None if it has an effect."""
        while True:
            child, node = node, self._parents.get(node, node)
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found = [target.id for target in targets if isinstance(target, ast.Name)]
                plain = len(found) == len(targets) and not isinstance(self._parents[node], ast.ClassDef)
                return found if plain and child is node.value else None
            if isinstance(node, ast.Call) and child is not node.func:
                if _called(node, _PRINTS) and isinstance(self._parents[node], ast.Expr):
                    return []
                if not _called(node, _PASS_ON):
                    return None
            elif not _passes_on(node, child):
                return None


def _reached(names: set[str], sources: Mapping[str, set[str]]) -> set[str]:
    """Return names together with all names that their values come from, directly or not."""
    reached, new = set(names), list(names)
    while new:
        found = sources.get(new.pop(), set()) - reached
        reached |= found
        new += found
    return reached


def _passes_on(node: ast.AST, child: ast.AST) -> bool:
    """Return whether the value of a part is the value of the whole, a factor of it, or text in it."""
    if isinstance(node, ast.BinOp):
        text = isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        return isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv) or (text and isinstance(node.op, ast.Mod))
    if isinstance(node, ast.IfExp):
        return child is not node.test
    return isinstance(node, ast.FormattedValue | ast.JoinedStr | ast.Tuple | ast.Dict | ast.keyword)


def _called(node: ast.Call, names: re.Pattern[str]) -> bool:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return bool(names.fullmatch(name))
