"""Reads new values of constants from assignments in a reply, such as `DEPTH = 3`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Final

from operators.edit.text import EditError, quoted
from target.program.constants import Constant, Value, parse_constants
from target.program.expressions import number_of
from target.program.syntax import parse

_LINE: Final = re.compile(
    r"\s{0,20}(?:[-*+•]\s{1,4}|\d{1,2}[.)]\s{1,4})?(?P<tick>[`*]{0,3})(?P<name>[A-Z][A-Z0-9_]*(?:\[\d\])?)(?P=tick)?\s{0,9}"
    r"(?P<rest>(?:[=:]|->|→|=>|⇒).{1,200}?)[`*]{0,3}[,;]?\s{0,20}"
)
_REMARK: Final = re.compile(
    r"[=:](?P<new>.*?)[`*]{0,3}\s+\((?:was|from|before|currently|up from|down from):?\s+(?P<old>[^()]{1,40})\)"
)
_TO: Final = re.compile(r"(?:->|→|=>|⇒)\s*(?P<new>\S.*)")
_NAME_HEADERS: Final = frozenset({"constant", "name", "parameter", "hyperparameter", "setting", "variable", "knob"})
_NEW_HEADERS: Final = frozenset({"new", "proposed", "suggested", "after", "to"})
_OLD_HEADERS: Final = frozenset({"old", "current", "present", "before", "from"})
_CODE: Final = re.compile(
    r"(?:async )?def \w+\(|class \w+.{0,200}:|import \w+|from \S+ import |@\w|[ \t]+(?:return|def|self\.)\b|"
    r"[a-z_]\w* = |with \w+\("
)
"""Beginnings of lines of a program: values among such lines are part of it, not a separate answer."""
_VALUES: Final = 200
_CHANGE: Final = re.compile(r"[=:]\s*(?P<old>\S+)\s+(?=\S*[^\w\s])\S{1,16}\s+(?P<new>\S+)")
_ARROW: Final = re.compile(r"[=:]\s*(?P<old>\S.*?)\s*(?:->|→|=>|⇒)\s*(?P<new>\S.*)")


def only_assignments(code: str) -> list[ast.Assign | ast.AnnAssign] | None:
    """Return the statements of a piece of code if each sets one name or one number of a tuple, else None."""
    try:
        body = parse(code).body
    except SyntaxError:
        return None
    nodes = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and assigned_constant(node)]
    return nodes if nodes and len(nodes) == len(body) else None


def assigned_name(node: ast.stmt) -> str:
    """Return the only name that a statement sets; empty for other statements."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return ""
    return target.id if isinstance(target, ast.Name) else ""


def assigned_constant(node: ast.stmt) -> str:
    """Return the name that a statement sets, or `NAME[0]` if it sets one element; empty for other statements."""
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        index = target.slice.value if isinstance(target.slice, ast.Constant) else None
        return f"{target.value.id}[{index}]" if type(index) is int else ""
    return assigned_name(node)


def constants_of(source: str) -> Mapping[str, Constant]:
    """Return the constants of a file; none if it does not parse."""
    try:
        return parse_constants(source)
    except (SyntaxError, ValueError):
        return {}


def literal_value(node: ast.Assign | ast.AnnAssign) -> Value | None:
    """Return the value that a statement sets if it is an admissible literal for a constant, else None."""
    try:
        value = ast.literal_eval(node.value) if node.value else None
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def values_in_prose(lines: Sequence[str], source: str, *, complete: bool) -> str | None:
    """Return the values of constants on separate lines in prose, as code; None if there are none.

    These are lines such as `DEPTH = 12`, also as an item of a list or in backticks, `DEPTH: 8 -> 12` and
    `DEPTH = 12 (was 8)` if 8 is the file's value, and rows of a table with a column of new values. A line
    such as `DEPTH: 12` may tell of an earlier trial, and a value in the middle of a sentence is only mentioned: they do
    not count.

    Args:
        lines: The prose.
        source: The file.
        complete: Whether the last line is known to be complete.

    Raises:
        EditError: The last value may have been cut off, or a line seems to change a value and cannot be read.
    """
    if any(_CODE.match(line) for line in lines):
        return None
    known = constants_of(source)
    code, seen = dict[str, None](), set[str]()
    for number, line in [*enumerate(lines), *_rows(lines)]:
        match = _LINE.fullmatch(line) if any(mark in line for mark in "=:→⇒") or "->" in line else None
        if match is None or (line in seen and number < len(lines) - 1):
            continue
        seen.add(line)
        statement = _statement(match, known)
        if statement is None:
            _refuse_unread_change(match, known)
            continue
        ends = match["tick"] and line.rstrip(" ,;").endswith(match["tick"])
        if number == len(lines) - 1 and not complete and not ends:
            raise EditError(
                f"the answer ends with {line.strip()!r} and may have been cut off: write values into a closed fence"
            )
        code[statement] = None
        if len(code) > _VALUES:
            raise EditError(f"an answer may set {_VALUES} constants, got more")
    return "\n".join(code) if code else None


def _statement(match: re.Match[str], known: Mapping[str, Constant]) -> str | None:
    """Return the assignment that a line means; None if it means none."""
    name, rest = match["name"], match["rest"]
    now = _current(name, known)
    remark = _REMARK.fullmatch(rest + match.string[match.end("rest") :].rstrip())
    change = remark or _ARROW.fullmatch(rest) or _TO.fullmatch(rest)
    if change is not None:
        old, new = change.groupdict().get("old"), _bare(change["new"])
        if now is None or (old is not None and evaluated(old) != now):
            return None
        if new.startswith(name):  # `DEPTH = 8` -> `DEPTH = 12`
            new = _bare(new.removeprefix(name).lstrip("`* =:"))
        return None if evaluated(new) is None else f"{name} = {new}"
    if rest.startswith(":") and (now is None or "=" not in rest):
        return None
    if (bare := rest[1:].lstrip()) and bare[0] in "`*":
        rest = f"= {_bare(bare)}"
    nodes = only_assignments(f"{name} {rest}")
    if nodes is None or (literal_value(nodes[0]) is None and now is None):
        return None
    return f"{name} {rest}"


def _bare(text: str) -> str:
    return text.strip("`* ")


def _rows(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Return the rows of tables with one column of names and one of new values, as numbered lines.

    They are `NAME: old -> new` where the table has the old values too: those of an earlier trial are not the file's.
    """
    found, columns, inside = list[tuple[int, str]](), None, False
    for number, line in enumerate(lines):
        if line.count("|") < 2:
            inside = False
            continue
        cells = [cell.strip("`* \t") for cell in line.strip().strip("|").split("|")]
        if not inside:
            inside, columns = True, _columns([cell.lower() for cell in cells])
        elif columns is not None and len(cells) > max(columns):
            name, new, *old = (cells[place] for place in columns)
            found.append((number, f"{name}: {old[0]} -> {new}" if old else f"{name} = {new}"))
    return found


def _columns(heads: Sequence[str]) -> tuple[int, ...] | None:
    """Return the places of names, new values and perhaps old values in the header of a table; None for other tables."""
    names, new, old = (
        [place for place, head in enumerate(heads) if head.removesuffix(" value") in words]
        for words in (_NAME_HEADERS, _NEW_HEADERS, _OLD_HEADERS)
    )
    return (names[0], new[0], *old) if len(names) == len(new) == 1 and len(old) < 2 else None


def with_types_of(code: str, source: str) -> str:
    """Return assignments in which a number or a truth value in quotes is one, where the file's constant is.

    Args:
        code: Assignments, from JSON.
        source: The file.
    """
    nodes, known, lines = only_assignments(code), constants_of(source), list[str]()
    for node in nodes or ():
        name, value = assigned_constant(node), literal_value(node)
        now = _current(name, known)
        if isinstance(value, str) and isinstance(now, bool):
            value = {"true": True, "false": False}.get(value.strip().lower(), value)
        elif (
            isinstance(value, str)
            and isinstance(now, int | float)
            and isinstance(number := evaluated(value), int | float)
        ):
            value = number
        lines.append(ast.unparse(node) if value is None else f"{name} = {value!r}")
    return "\n".join(lines) if nodes else code


def _current(name: str, known: Mapping[str, Constant]) -> Value | tuple[Value, ...] | None:
    """Return the value of a name in the file, a tuple for a tuple of numbers; None if it is not a constant."""
    if name in known:
        return known[name].value
    return tuple(constant.value for each, constant in known.items() if each.startswith(f"{name}[")) or None


def _refuse_unread_change(match: re.Match[str], known: Mapping[str, Constant]) -> None:
    """Refuse a line such as `DEPTH: 8 >> 12`: the old value, a sign that is no known arrow, and another value."""
    change = _CHANGE.fullmatch(match["rest"])
    current = _current(match["name"], known)
    if change is None or current is None or evaluated(change["old"]) != current:
        return
    new = evaluated(change["new"])
    if new is not None and new != current:
        raise EditError(
            f"{quoted(match[0].strip())} seems to change {match['name']} and cannot be read: write "
            f"'{match['name']} = {change['new'].strip('`* ')}'"
        )


def evaluated(text: str) -> Value | tuple[float | None, ...] | None:
    """Return the value of a literal, or of a tuple of numbers; None for any other text."""
    nodes = only_assignments(f"X = {text.strip('`* ')}")
    if not nodes or nodes[0].value is None:
        return None
    if isinstance(nodes[0].value, ast.Tuple | ast.List):
        return tuple(number_of(each) for each in nodes[0].value.elts)
    value = literal_value(nodes[0])
    return number_of(nodes[0].value) if value is None else value


def refuse_unknown(text: str, known: Mapping[str, Constant]) -> EditError:
    """Return the refusal of an assignment to a name that is not a constant of the file."""
    return EditError(
        f"{text!r} does not set a constant of the file; its constants are {', '.join(known)}; "
        "for other changes write whole edits"
    )
