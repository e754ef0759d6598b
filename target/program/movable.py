"""Lists the constants of a program that a search may change, and those that stay with the reason: one line of text."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from target.program.assigned import assignments, stored_names
from target.program.constants import Constant, parse_constants
from target.program.elsewhere import numbers_elsewhere
from target.program.space import axis_of
from target.program.syntax import parse

_MOVING: Final = 16  # names that are shown
_SWITCH: Final = "# switch: "
MOVE_ADVICE: Final = (
    "write `LR = 0.1` at the top level, or a comment `# knob: LOW..HIGH` behind a number; or set operator=patch and "
    "llm.model, or operator=agent and agent.command"
)
"""What to do about a program in which no operator without a model finds anything to change."""
_STAYING: Final = 6  # names of each reason


def movable_text(source: str) -> str:
    """Return which constants of a program can change, which stay and why; empty if it has none or does not parse."""
    try:
        constants = parse_constants(source)
        tree = parse(source)
    except (SyntaxError, ValueError):
        return ""
    moving, staying = dict[str, None](), defaultdict[str, dict[str, None]](dict)
    for name, constant in constants.items():
        if reason := _why(constant):
            staying[reason][_whole(name)] = None
        else:
            moving[_whole(name)] = None
    known = {_whole(name) for name in constants}
    stored = stored_names(tree)
    for name, value in assignments(tree):
        if name not in known:
            staying[_why_not(value, stored[name])][name] = None
    elsewhere = numbers_elsewhere(tree, constants.keys(), inside=not moving)
    if not moving and not staying and not elsewhere:
        return ""
    count = f"{len(moving)} constant{'s' if len(moving) > 1 else ''} can move" if moving else "no constant can move"
    parts = [f"{count}: {_listed(list(moving), _MOVING)}" if moving else count]
    if staying:
        groups = [f"{_listed(list(names), _STAYING)} ({reason})" for reason, names in staying.items()]
        parts.append(f"{sum(map(len, staying.values()))} stay: {'; '.join(groups)}")
    if elsewhere:
        groups = [f"{_listed(names, _STAYING)} ({place})" for place, names in elsewhere.items()]
        parts.append(
            f"only constants such as `LR = 0.1` at the top level move, and not {', '.join(groups)}, unless a comment "
            "`# knob: LOW..HIGH` is behind the number"
        )
    return "; ".join(parts)


def can_move(source: str) -> bool:
    """Return whether an operator without a model finds something to change in a program; so if it does not parse."""
    try:
        return _SWITCH in source or any(axis_of(constant) for constant in parse_constants(source).values())
    except (SyntaxError, ValueError):
        return True  # the operators say what is wrong


def is_python(source: str) -> bool:
    """Return whether a program parses as Python."""
    try:
        parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _why(constant: Constant) -> str:
    """Return why a constant stays; empty if it can change."""
    if constant.stays or axis_of(constant):
        return constant.stays
    return "text without choices" if isinstance(constant.value, str) else "no room to move"


def _why_not(value: ast.expr, times: int) -> str:
    """Return why an assignment is no constant."""
    if times > 1:
        return "set more than once"
    if any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(value)):
        return "an expression of other names"
    return "several values" if isinstance(value, ast.Tuple | ast.List | ast.Dict | ast.Set) else "not a number"


def _whole(name: str) -> str:
    """Return the name that a constant has without its index in a tuple."""
    return name.partition("[")[0]


def _listed(names: Sequence[str], most: int) -> str:
    shown = names if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return ", ".join(shown)
