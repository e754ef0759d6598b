"""Says what a constant is by how a program uses it: an index, a case, a cadence, a number of trainings."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Final

from target.program.conditions import OF_AGENTS, stepped_environment
from target.program.held_out import is_of_batches, trains
from target.program.staying import DATA, HARDWARE, MEASURE, PRINTED, SEED, SPLIT, why_it_stays
from target.program.syntax import called, name_of

CASE: Final = "it picks a case"
_BY_KEYWORD: Final = frozenset({SEED, HARDWARE, PRINTED, MEASURE, SPLIT})
_SIZES_OF_DATA: Final = re.compile(
    r"(?:num|n)_(?:classes|labels|actions)|vocab_size|(?:action|obs|observation|label)_(?:dim|size)"
    r"|padding_idx|ignore_index"
)
_ENVIRONMENTS: Final = re.compile(r"(?!\w*Vec)[A-Z]\w*Env(?:V\d+|_v\d+)?|[A-Z]\w*Environment")
_NORMALISES: Final = re.compile(r"[Nn]ormali[sz]e")
_MODELS: Final = re.compile(r"(?i:(?:\w*_)?(?:model|net|network|agent|policy|optimizer|optimiser|opt|clf|estimator)s?)")
_TRAINS: Final = re.compile(r"train(?:_\w+)?|fit|learn|backward")
_DATA: Final = re.compile(r"(?i:(?:\w*_)?(?:train|data|dataset|samples|examples|rows|records)(?:_\w*)?|df|x|y)")
_REPORTS: Final = re.compile(
    r"(?i:print|log\w*|info|debug|write\w*|writerow|save\w*|dump|append|add_scalar\w*|flush|collect|empty_cache|plot\w*"
    r"|savefig|evaluate\w*|eval\w*|validate\w*|estimate_loss|generate\w*|sample_images|item|format|join|float|int|round"
    r"|len|mean|sum|max|min|time|perf_counter|memory_allocated|state_dict|cpu|numpy|detach|str|set_description"
    r"|set_postfix|is_available)"
)
_EPISODES: Final = re.compile(r"(?i:\w*(?:episode|play|game|evaluate)\w*)")
_INPUTS: Final = re.compile(r"(?i:(?:\w*_)?(?:obs|observation|input|state)_?(?:dim|size|shape))")
_SHORTEST_ENUMERATION: Final = 3


def role(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> str:
    """Return why a constant stays for what it is used at one place; empty if it may change.

    Args:
        node: Where it is read.
        parents: The parents of all nodes of the program.
    """
    above = parents[node]
    if isinstance(above, ast.keyword) and above.arg:
        reason = why_it_stays(above.arg.upper())
        if _SIZES_OF_DATA.fullmatch(above.arg):
            return DATA
        if reason in _BY_KEYWORD:
            return reason
    if isinstance(above, ast.For) and above.iter is node and _trains_anew(above, any_call=True):
        return MEASURE  # each of several trainings has one of its values
    if _is_normalised(node, parents):
        return DATA
    child: ast.AST = node
    while child in parents and not isinstance(child, ast.stmt):
        above = parents[child]
        if isinstance(above, ast.Call) and child is not above.func:
            if _ENVIRONMENTS.fullmatch(called(above)) and not OF_AGENTS.fullmatch(node.id):
                return MEASURE
            loop = parents[above] if called(above) == "range" else None
            if isinstance(loop, ast.For) and (_trains_anew(loop, any_call=False) or _is_episode(loop, parents)):
                return MEASURE
        child = above
    return ""


def role_of_all(reads: Sequence[ast.Name], value: ast.expr | None, parents: Mapping[ast.AST, ast.AST]) -> str:
    """Return why a constant stays for its value, a part of the data, or what all its uses have in common.

    Args:
        reads: Where it is read; what is only printed has no part in what they have in common.
        value: What it is set to; None if this is not known.
        parents: The parents of all nodes of the program.
    """
    if value is not None and _enumerates(value):
        return DATA
    if any(_is_amount(node, parents) or _is_factor_of_inputs(node, parents) for node in reads):
        return DATA
    reads = [node for node in reads if not _is_shown(node, parents)]
    if not reads:
        return ""
    if all(_is_index(node, parents) for node in reads):
        return DATA
    if _is_whole(value) and all(_is_case(node, parents) for node in reads):
        return CASE
    return PRINTED if all(_is_cadence(node, parents) for node in reads) else ""


def _is_normalised(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether inputs are scaled by it: `Normalize(MEAN, STD)`, `(x - MEAN) / STD`."""
    above = parents[node]
    if isinstance(above, ast.Call) and node in above.args and _NORMALISES.fullmatch(called(above)):
        return True
    if isinstance(above, ast.keyword) and _NORMALISES.fullmatch(called(parents[above])):
        return above.arg in {"mean", "std"}
    for whole in (above, parents[above]):
        if isinstance(whole, ast.BinOp) and isinstance(whole.op, ast.Div) and isinstance(whole.left, ast.BinOp):
            centred = whole.left
            if isinstance(centred.op, ast.Sub) and node in (centred.right, whole.right):
                named = isinstance(whole.right, ast.Name) and name_of(centred.right).isupper()
                return named and not name_of(centred.left).isupper()
    return False


def _is_amount(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether it says how much of the data is used: `x_train[:N]`, `df.head(N)`."""
    above = parents[node]
    if isinstance(above, ast.Call) and node in above.args and isinstance(above.func, ast.Attribute):
        return above.func.attr == "head" and bool(_DATA.fullmatch(name_of(above.func.value)))
    if not (isinstance(above, ast.Slice) and above.upper is node and above.lower is None and above.step is None):
        return False
    holder: ast.AST = parents[above]
    first = True
    if isinstance(holder, ast.Tuple):
        first, holder = holder.elts[0] is above, parents[holder]
    first = first and not is_of_batches(node.id)
    return first and isinstance(holder, ast.Subscript) and bool(_DATA.fullmatch(name_of(holder.value)))


def _is_factor_of_inputs(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether the size of the inputs is a multiple of it, as the data have it: `OBS_DIM = WINDOW * COLUMNS`."""
    product = parents[node]
    if not isinstance(product, ast.BinOp) or not isinstance(product.op, ast.Mult):
        return False
    holder = parents[product]
    if not isinstance(holder, ast.Assign) or isinstance(parents.get(holder), ast.FunctionDef | ast.ClassDef):
        return False
    return any(_INPUTS.fullmatch(name_of(target)) for target in holder.targets)


def _trains_anew(loop: ast.For, *, any_call: bool) -> bool:
    """Return whether each pass of a loop trains a model of its own, so that it is no loop over epochs."""
    inside = [node for statement in loop.body for node in ast.walk(statement)]
    calls = [node for node in inside if isinstance(node, ast.Call)]
    if not any(_TRAINS.fullmatch(called(call)) for call in calls):
        return False
    made = [
        node
        for node in inside
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and any(isinstance(target, ast.Name) and _MODELS.fullmatch(target.id) for target in node.targets)
        and called(node.value) not in {"to", "cuda", "compile", "train", "eval"}
    ]
    return bool(made) or (any_call and any(called(call).startswith(("train", "fit")) for call in calls))


def _is_episode(loop: ast.For, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether a loop is an episode: it steps an environment that was reset right before it."""
    calls = [node for statement in loop.body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    stepped = {name for call in calls if (name := stepped_environment(call))}
    outer = parents[loop]
    body = getattr(outer, "body", [])
    if not stepped or loop not in body:
        return False
    named = isinstance(outer, ast.FunctionDef) and _EPISODES.fullmatch(outer.name) and not trains(outer)
    if not named and not isinstance(outer, ast.For | ast.While):
        return False  # steps of the whole training
    before = [node for statement in body[: body.index(loop)] for node in ast.walk(statement)]
    return any(
        isinstance(node, ast.Call)
        and called(node) == "reset"
        and isinstance(node.func, ast.Attribute)
        and name_of(node.func.value) in stepped
        for node in before
    )


def _is_shown(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    return isinstance(parents[node], ast.FormattedValue)


def _is_index(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether it is an index of something, and no bound of a slice: `row[COLUMN]`, `u[:, TIME]`."""
    above = parents[node]
    if isinstance(above, ast.Tuple) and isinstance(parents[above], ast.Subscript):
        above = parents[above]
        assert isinstance(above, ast.Subscript)
        return above.slice is parents[node]
    return isinstance(above, ast.Subscript) and above.slice is node


def _is_whole(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and type(value.value) is int


def _is_case(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether it decides what runs by equality with a literal: `if KIND == 2`."""
    above = parents[node]
    if isinstance(above, ast.Match):
        return above.subject is node
    if not isinstance(above, ast.Compare) or len(above.ops) != 1:
        return False
    other = above.comparators[0] if above.left is node else above.left
    fixed = isinstance(other, ast.Constant) or (
        isinstance(other, ast.Tuple | ast.List | ast.Set) and all(isinstance(each, ast.Constant) for each in other.elts)
    )
    child: ast.AST = above
    holder = parents[above]
    while isinstance(holder, ast.BoolOp | ast.UnaryOp):
        child, holder = holder, parents[holder]
    decides = isinstance(holder, ast.If | ast.IfExp) and holder.test is child
    return fixed and decides and isinstance(above.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn)


def _is_cadence(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether it only says how often something is reported: `if step % N == 0: print(loss)`."""
    child: ast.AST = node
    if not (isinstance(parents[node], ast.BinOp) and isinstance(parents[node].op, ast.Mod)):  # type: ignore[attr-defined]
        return False
    while child in parents and not isinstance(child, ast.stmt):
        above = parents[child]
        if isinstance(above, ast.If) and child is above.test:
            return not above.orelse and all(map(_only_reports, above.body))
        child = above
    return False


def _only_reports(statement: ast.stmt) -> bool:
    reported = False
    for node in ast.walk(statement):
        if isinstance(node, ast.Break | ast.Return | ast.Raise | ast.Continue | ast.AugAssign | ast.Delete):
            return False
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            return False
        if isinstance(node, ast.Call):
            if not _REPORTS.fullmatch(called(node)):
                return False
            reported = True
    return reported or isinstance(statement, ast.Assign | ast.Pass)


def _enumerates(value: ast.expr) -> bool:
    """Return whether a list is `[0, 1, 2]` or `[1, 2, 3]`: its numbers are names of things, and no amounts."""
    if not isinstance(value, ast.Tuple | ast.List) or len(value.elts) < _SHORTEST_ENUMERATION:
        return False
    numbers = [each.value if isinstance(each, ast.Constant) else None for each in value.elts]
    return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1))) and type(numbers[0]) is int
