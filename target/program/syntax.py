"""Parses untrusted source: every fault in it is a `SyntaxError`."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import sys
import threading
from collections.abc import Mapping
from typing import Final

# CPython 3.11 counts the depth of a syntax tree under construction in one place for all threads, and fails with a
# SystemError when two threads interleave (gh-106905). Our calls wait for each other; a library's may still interfere.
_ONE_AT_A_TIME: Final = threading.Lock()
_TRIES: Final = 20
_LONG_INTEGER: Final = re.compile(r"0[xXoObB][0-9a-fA-F_]{1000,}")


@functools.lru_cache(maxsize=8)  # a new program is parsed for its identity, its constants and its form in turn
def parse(source: str) -> ast.Module:
    """Return the syntax tree of a source, which others may hold too: do not change it. Threads may call this together.

    Raises:
        SyntaxError: As `parse_anew`.
    """
    return parse_anew(source)


@functools.lru_cache(maxsize=2)  # several rules ask about one program in turn
def parents_of(tree: ast.Module) -> Mapping[ast.AST, ast.AST]:
    """Return the parent of each node of a syntax tree but the tree itself."""
    parents, open_nodes = dict[ast.AST, ast.AST](), list[ast.AST]([tree])
    while open_nodes:
        node = open_nodes.pop()
        children = list(ast.iter_child_nodes(node))
        parents.update(dict.fromkeys(children, node))
        open_nodes += children
    return parents


def parse_anew(source: str) -> ast.Module:
    """Return a syntax tree of a source that the caller may change.

    Raises:
        SyntaxError: It does not parse. This includes null bytes, lone surrogates and nesting too deep for the parser.
    """
    try:
        with _ONE_AT_A_TIME:
            tree = _parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "nested too deeply to be parsed") from error
    if _LONG_INTEGER.search(source):
        _refuse_long_integers(tree)
    return tree


def _refuse_long_integers(tree: ast.Module) -> None:
    """Refuse integers that are too long for decimal text: hexadecimal ones would parse, but could not be unparsed."""
    limit = sys.int_info.default_max_str_digits
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > 3 * limit:
            raise SyntaxError(f"line {node.lineno}: an integer must have fewer than {limit} digits")


def _parse(source: str) -> ast.Module:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)


def name_of(node: ast.AST) -> str:
    """Return the last part of a dotted name; empty for anything else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def called(node: ast.AST) -> str:
    """Return the last part of the name of what is called; empty for anything but a call."""
    return name_of(node.func) if isinstance(node, ast.Call) else ""
