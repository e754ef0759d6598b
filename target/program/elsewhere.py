"""Finds numbers of a program that look like settings but are no constants: no operator without a model moves them."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Container
from typing import Final

from target.program.literals import literal_of
from target.program.settings import Setting, settings_of

OPTIONS: Final = "defaults of options"
LOWER_CASE: Final = "not in upper case"
FIELDS: Final = "fields of a class"
ENTRIES: Final = "entries of a dictionary"
INSIDE: Final = "in functions and calls"


def numbers_elsewhere(tree: ast.Module, known: Container[str], *, inside: bool) -> dict[str, list[str]]:
    """Return the names of numbers that are set outside of UPPER_CASE constants, by where they are set.

    Only what has a fixed number or a boolean there counts: `add_argument("--lr", default=0.1)`, `learning_rate = 0.1`
    at the top level, `lr: float = 0.1` in the body of a class at the top level, and `{"lr": 0.1}` in a dictionary
    there.

    Args:
        tree: The program.
        known: Names that are constants, because of a comment.
        inside: Whether numbers in functions and in calls, `fit(lr=0.1)`, count if there are no others. Most programs
            have some.
    """
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    found = defaultdict[str, dict[str, None]](dict)
    for setting in settings_of(tree):
        if setting.name not in known and _is_number(setting.value) and (place := _place(setting, classes)):
            found[place][f"--{setting.name}" if place == OPTIONS else setting.name] = None
    if len(found) > 1 or not inside:
        found.pop(INSIDE, None)
    places = (OPTIONS, LOWER_CASE, FIELDS, ENTRIES, INSIDE)
    return {place: list(found[place]) for place in places if place in found}


def _place(setting: Setting, classes: Container[str]) -> str:
    """Return where a number is set; empty if it is a constant, or not worth telling."""
    if setting.place == "option":
        return OPTIONS
    if setting.place == "variable" and not setting.depth:
        return LOWER_CASE if setting.name != setting.name.upper() else ""
    if setting.place == "variable" and setting.depth == 1 and setting.name.partition(".")[0] in classes:
        return FIELDS
    return ENTRIES if setting.place == "entry" and not setting.depth else INSIDE


def _is_number(node: ast.expr) -> bool:
    return literal_of(node)[1] is not None or (isinstance(node, ast.Constant) and isinstance(node.value, bool))
