"""From assignments in a model's reply to new values of the constants of a file: `DEPTH = 3`, and nothing beside."""

from __future__ import annotations

import ast

from operators.edit_text import FILE, EditError
from target.constants import Value, parse_constants, replace_constants
from target.syntax import parse


def with_values(code: str, source: str) -> str | None:
    """Return the file with the values that a piece of code assigns; None if the piece is something else.

    Small models answer so whatever form they are asked for, and read as a whole file it would delete all the rest.

    Args:
        code: A piece of code of a reply.
        source: The file as it is.

    Raises:
        EditError: A name is no constant of the file, a value is no literal, or a name has two of them.
    """
    nodes = _assignments(code)
    if nodes is None or _assignments(source) is not None:
        return None
    try:
        known = parse_constants(source)
    except (SyntaxError, ValueError):
        return None  # it is the parent that is damaged: only other edits can mend it
    values = dict[str, Value]()
    for node in nodes:
        name, text = _target(node), ast.unparse(node)
        if name not in known:
            raise EditError(
                f"{text!r} sets no constant of {FILE}; its constants are {', '.join(known)}; "
                "for other changes write whole edits"
            )
        if name in values:
            raise EditError(f"{name} is set twice: which value is meant?")
        try:
            value = ast.literal_eval(node.value) if node.value else None
        except (ValueError, TypeError):
            value = None
        if not isinstance(value, bool | int | float | str):
            raise EditError(f"{text!r}: the new value of a constant must be a number, a string, True or False")
        values[name] = value
    try:
        return replace_constants(source, values)
    except ValueError as error:
        raise EditError(str(error)) from error


def _assignments(code: str) -> list[ast.Assign | ast.AnnAssign] | None:
    """Return the statements of a piece of code if each of them sets one name, else None."""
    try:
        body = parse(code).body
    except SyntaxError:
        return None
    nodes = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and _target(node)]
    return nodes if nodes and len(nodes) == len(body) else None


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    first, *others = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
    return first.id if isinstance(first, ast.Name) and not others else ""
