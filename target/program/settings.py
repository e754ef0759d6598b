"""Finds the literals that set something by name, wherever a program has them: fields, entries, arguments, variables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_OPTIONS: Final = frozenset({"add_argument", "option", "Option"})
_KEY: Final = re.compile(r"[^\w-]")
_LEFT_OUT: Final = frozenset({"__init__", "self"})


class Setting(NamedTuple):
    """A value with a name.

    Attributes:
        name: Its name, after that of the class, the function or the call that it is in, or those of dictionaries:
            `Config.lr`, `hyp.opt.lr`.
        value: The expression that sets it.
        place: `variable`, `entry`, `keyword`, `default` or `option`.
        depth: How many names of classes and functions it is in.
    """

    name: str
    value: ast.expr
    place: str
    depth: int


def settings_of(tree: ast.Module) -> Iterator[Setting]:
    """Yield what a program sets by name.

    These are variables `lr = 0.1`, also of classes and functions, and attributes `self.lr = 0.1`; entries of
    dictionaries `{"lr": 0.1}`; keyword arguments `fit(lr=0.1)`; defaults of arguments `def main(lr=0.1)`; and options
    `add_argument("--lr", default=0.1)`.

    Args:
        tree: The program.
    """
    open_nodes: list[tuple[ast.AST, tuple[str, ...], int]] = [(tree, (), 0)]
    while open_nodes:
        node, path, depth = open_nodes.pop()
        children = [(child, path, depth) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            children = [(child, (node.name,), depth + 1) for child, _, _ in children]  # the innermost is enough
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for name, value in _defaults(node.args):
                yield Setting(_name(node.name, name), value, "default", depth + 1)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (set_to := node.value):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
            if name:
                yield Setting(_name(*path, name), set_to, "variable", depth)
                children = [(set_to, (*path, name), depth)]
        elif isinstance(node, ast.Dict):
            children = []
            for key, value in zip(node.keys, node.values, strict=True):
                text = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
                under = path if text is None else (*path, text)
                children.append((value, under, depth))
                if text is not None:
                    yield Setting(_name(*under), value, "entry", depth)
        elif isinstance(node, ast.Call):
            yield from _arguments(node, depth)
        open_nodes += reversed(children)


def _arguments(node: ast.Call, depth: int) -> Iterator[Setting]:
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    flags = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    option = max(flags, key=len).lstrip("-") if called in _OPTIONS and flags else ""
    for each in node.keywords:
        if option and each.arg == "default":
            yield Setting(_name(option), each.value, "option", depth)
        elif each.arg and not option:
            yield Setting(_name(called, each.arg), each.value, "keyword", depth)


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    yield from ((each.arg, value) for each, value in zip(last, arguments.defaults, strict=True))
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in pairs if value is not None)


def _name(*names: str) -> str:
    return ".".join(_KEY.sub("_", name) for name in names if name not in _LEFT_OUT)
