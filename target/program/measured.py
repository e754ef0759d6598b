"""Finds the constants that a program measures with, by where it reads them: evaluation, splits of the data, clocks."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from target.program.staying import LIMIT, MEASURE, SPLIT
from target.program.syntax import parents_of

_SPLITS: Final = re.compile(
    r"(?i:\w*(?:train|val|test|random|group|strat|time|data|holdout|shuffle)\w*split(?:ter)?s?|\w*kfold\w*"
    r"|split_(?:data|train|test)\w*|cross_val\w*)"
)
_EVALUATES: Final = re.compile(
    r"(?i:(?:\w*_)?(?:eval|evals|evaluate|evaluation|evaluator|validate|validation)(?:_\w*)?)"
)
_TESTS: Final = re.compile(r"(?i:test|test_(?:epoch|loop|model)|run_test)")
_CLOCK: Final = re.compile(r"(?i:\w*elapsed\w*|(?:\w*_)?(?:time|seconds|secs|clock|wall))")
_CLOCK_CALLS: Final = frozenset({"time", "perf_counter", "monotonic", "process_time", "time_ns", "perf_counter_ns"})
_MOST: Final = 0.5  # of the constants that are read: if more are read in evaluations only, these are the program's work


def measuring_names(tree: ast.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the constants that a program measures with, each with the reason.

    A constant stays if it is an argument of a call that splits the data, is compared with a clock, decides whether time
    counts (`if step >= N: seconds += dt`), or is read only in evaluations and their arguments. Where most constants are
    read in evaluations only, an evaluation is what the program does, and this is no reason.

    Args:
        tree: The program.
        names: Its constants.
    """
    parents, names = parents_of(tree), set(names)
    reasons, reads, evaluating = dict[str, str](), Counter[str](), Counter[str]()
    for node in parents:
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
            reason, inside = _purpose(node, parents)
            reads[node.id] += 1
            evaluating[node.id] += inside
            if reason:
                reasons.setdefault(node.id, reason)
    only = {name for name, count in evaluating.items() if count == reads[name]}
    if len(only) <= _MOST * len(reads):
        reasons.update({name: MEASURE for name in only if name not in reasons})
    return reasons


def _purpose(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> tuple[str, bool]:
    """Return why what is read here stays, empty if it may change, and whether it is for an evaluation."""
    inside, called = False, False  # what is handed to a call within an evaluation's arguments is for that call
    while node in parents:
        child, node = node, parents[node]
        if isinstance(node, ast.Call) and child is not node.func:
            name = _called(node)
            if _SPLITS.fullmatch(name):
                return SPLIT, False
            inside = inside or (not called and bool(_EVALUATES.fullmatch(name)))
            called = True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = inside or bool(_EVALUATES.fullmatch(node.name) or _TESTS.fullmatch(node.name))
        elif _keeps_time(node, child):
            return LIMIT, False
    return "", inside


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _keeps_time(node: ast.AST, child: ast.AST) -> bool:
    """Return whether a part of a program compares with a clock, or its child decides whether time counts."""
    if isinstance(node, ast.If):
        return child is node.test and any(map(_counts_time, node.body))
    return isinstance(node, ast.Compare) and any(map(_is_clock, ast.walk(node)))


def _is_clock(node: ast.AST) -> bool:
    """Return whether a part of a comparison is a clock: `time.time()`, or a name such as `elapsed`, `train_seconds`."""
    if isinstance(node, ast.Call):
        return _called(node) in _CLOCK_CALLS
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return bool(_CLOCK.fullmatch(name)) and name != "time"


def _counts_time(node: ast.stmt) -> bool:
    return isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and _is_clock(node.target)
