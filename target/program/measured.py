"""Finds the constants that a program measures with, by where it reads them.

Such places are evaluations, splits of the data, clocks, and losses that evaluations share with the training.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from target.program.assigned import assignments
from target.program.conditions import condition
from target.program.held_out import (
    EVALUATES,
    is_evaluation,
    is_held_out,
    is_inline_evaluation,
    is_named_evaluation,
    names_in_evaluations,
    stops_gradient,
)
from target.program.roles import role, role_of_all
from target.program.staying import DATA, LIMIT, MEASURE, SPLIT
from target.program.syntax import called, name_of, parents_of

_SPLITS: Final = re.compile(
    r"(?i:\w*(?:train|val|test|random|group|strat|time|data|holdout|shuffle)\w*split(?:ter)?s?|\w*kfold\w*"
    r"|split_(?:data|train|test)\w*|cross_val\w*)"
)
_METRICS: Final = re.compile(
    r"(?i:(?!\w*loss)(?:\w+_)?(?:accuracy|metrics?|dice|iou|miou|bleu|rouge|auc|rmse|f1|fid|kid|perplexity|psnr|ssim|wer|cer"
    r"|hits?|ndcg|mrr|recall|average_precision|precision_at)(?:_\w+)?)"
)
_GENERATES_TEXT: Final = re.compile(r"generate(?:_text|_samples?|_sequence)?|sample_text")
_SCORES: Final = re.compile(r"\w+_(?:score|metric|error)|mean_\w+_(?:loss|deviance)|\w*average_precision|\w+_at_k")
"""Calls whose named arguments, such as `beta` of `fbeta_score`, say what is measured."""
_GENERATES: Final = re.compile(
    r"make_(?:regression|classification|blobs|moons|circles|s_curve|swiss_roll|friedman[123]|low_rank_matrix)"
    r"|(?:generate|simulate)_(?:synthetic_)?data(?:set)?"
)
_LOSS: Final = re.compile(r"(?i:\w*loss\w*|(?:\w*_)?(?:criterion|objective|elbo|nll|xent)(?:_\w*)?)")
_LOSSES: Final = re.compile(r"\w*cross_entropy\w*|\w+_loss")
_WEIGHT_OF_TERM: Final = re.compile(r"(?!(?:\w*_)?(?:child|pos|class|sample|leaf)_weight)\w+_weight|loss_weights?")
_OTHER_SCORES: Final = frozenset({"make", "reset", "predict", "eval"})  # an environment, or a model in use
_FORWARDS: Final = frozenset({"forward", "__call__"})
_LOADS: Final = re.compile(r"(?i:\w*(?:batch|load|data|iter|fetch)\w*)")
_MODELS: Final = re.compile(
    r"(?i:(?:\w*_)?(?:model|net|network|encoder|decoder|backbone|policy|agent|actor|critic|forward|apply|predict|logits)"
    r"s?(?:_\w*)?)"
)
_PARAMETERS: Final = frozenset({"params", "weights", "state", "theta", "variables", "model", "net", "module"})
_SAYS_HELD_OUT: Final = re.compile(r"(?i:\b(?:val|valid|validation|eval|test)\b)")
_HELD_OUT: Final = re.compile(r"(?i:(?:\w*_)?(?:val|valid|validation|eval|test)(?:_\w*)?)")
_CLOCK: Final = re.compile(r"(?i:\w*elapsed\w*|(?:\w*_)?(?:time|seconds|secs|clock|wall))")
_CLOCK_CALLS: Final = frozenset({"time", "perf_counter", "monotonic", "process_time", "time_ns", "perf_counter_ns"})
_MOST: Final = 0.5  # of the constants that are read: if more are read in evaluations only, these are the program's work


def measuring_names(tree: ast.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the constants that a program measures with, each with the reason.

    A constant stays if it is an argument of a call that splits the data, is compared with a clock, decides whether time
    counts (`if step >= N: seconds += dt`), or is read only in evaluations and their arguments. Where most constants are
    read in evaluations only, an evaluation is what the program does, and this is no reason. It also stays if it is in a
    loss that an evaluation computes too, such as the weight of one of its terms: a smaller weight is a smaller score;
    and if it sets the conditions of the score (`conditions.py`).

    Args:
        tree: The program.
        names: Its constants.
    """
    parents, names = parents_of(tree), set(names)
    reasons, reads, evaluating = dict[str, str](), defaultdict[str, list[ast.Name]](list), Counter[str]()
    for node in parents:
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
            reason, inside = _purpose(node, parents)
            reason = reason or condition(node, parents, in_evaluation=inside) or role(node, parents)
            reads[node.id].append(node)
            evaluating[node.id] += inside
            if reason:
                reasons.setdefault(node.id, reason)
    for name in names_in_evaluations(tree, names, parents):
        reasons.setdefault(name, MEASURE)
    shared = _names_in_losses(tree, names, parents)
    if len(shared) <= _MOST * len(reads):
        reasons.update({name: MEASURE for name in shared if name not in reasons})
    only = {name for name, count in evaluating.items() if count == len(reads[name])}
    if len(only) <= _MOST * len(reads):
        reasons.update({name: MEASURE for name in only if name not in reasons})
    for name in (_names_in_only_loss(parents) | _weights_of_losses_elsewhere(parents)) & names:
        reasons.setdefault(name, MEASURE)
    values = dict(assignments(tree))
    for name, nodes in reads.items():
        if reason := role_of_all(nodes, values.get(name), parents):
            reasons.setdefault(name, reason)
    return reasons


def _purpose(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> tuple[str, bool]:
    """Return why what is read here stays, empty if it may change, and whether it is for an evaluation."""
    inside, handed_on = False, False  # what is handed to a call within an evaluation's arguments is for that call
    while node in parents:
        child, node = node, parents[node]
        if isinstance(node, ast.Call) and child is not node.func:
            name = called(node)
            if _SPLITS.fullmatch(name) or _GENERATES.fullmatch(name):
                return SPLIT if _SPLITS.fullmatch(name) else DATA, False
            if isinstance(child, ast.keyword) and isinstance(child.value, ast.Name) and _SCORES.fullmatch(name):
                return MEASURE, False
            inside = inside or (not handed_on and bool(EVALUATES.fullmatch(name)))
            handed_on = True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = inside or _is_evaluation(node.name) or bool(_GENERATES_TEXT.fullmatch(node.name))
            inside = inside or is_evaluation(node)
        elif _keeps_time(node, child):
            return LIMIT, False
        else:
            inside = inside or is_inline_evaluation(node, parents)
    return "", inside


def _is_evaluation(function: str) -> bool:
    return is_named_evaluation(function) or bool(_METRICS.fullmatch(function))


def _names_in_losses(tree: ast.Module, names: set[str], parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """Return the constants in losses that are computed in an evaluation, and in what these losses call."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    values = dict[str, ast.expr]()
    for node in parents:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name not in names and (_LOSS.fullmatch(name) or (node in tree.body and not _constructs(node.value))):
                values[name] = node.value
    wanted = [
        node.func.id
        for node in parents
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and _LOSS.fullmatch(node.func.id)
        and _in_evaluation(node, parents)
    ]
    found, seen = _names_in_forward_losses(tree, parents) & names, set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen or (not _LOSS.fullmatch(name) and (_LOADS.fullmatch(name) or _MODELS.fullmatch(name))):
            continue
        seen.add(name)
        part = functions.get(name) or values.get(name)
        if isinstance(part, ast.FunctionDef) and not _PARAMETERS.isdisjoint(each.arg for each in part.args.args):
            part = part if _LOSS.fullmatch(name) else None  # the model, as a function of its parameters
        read = _read_in(part) if part else set[str]()
        found |= read & names
        wanted += read - names
    return found


def _names_in_only_loss(parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """Return the names in the loss of the training where a program computes no other score, so that this is its score.

    A program with an evaluation, held-out data or an environment has another.
    """
    losses = set[str]()
    for node in parents:
        if isinstance(node, ast.Call):
            name = called(node)
            if (_is_evaluation(name) and name.islower()) or name in _OTHER_SCORES:
                return set()
            if name == "backward" and isinstance(node.func, ast.Attribute):
                losses.add(name_of(node.func.value))
        elif (isinstance(node, ast.Name | ast.arg) and is_held_out(getattr(node, "id", getattr(node, "arg", "")))) or (
            isinstance(node, ast.FunctionDef) and _is_evaluation(node.name)
        ):
            return set()
    statements = (node for node in parents if not losses.isdisjoint(_stored(node)))
    return {each.id for node in statements for each in ast.walk(node) if isinstance(each, ast.Name)}


def _weights_of_losses_elsewhere(parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """Return the names handed on as weights of terms, `kl_weight=KL`, by a program that computes no loss itself.

    The loss that another file computes may be that of its evaluation too.
    """
    if any(isinstance(node, ast.Call) and called(node) == "backward" for node in parents):
        return set()
    handed = (node for node in parents if isinstance(node, ast.keyword) and isinstance(node.value, ast.Name))
    return {node.value.id for node in handed if _WEIGHT_OF_TERM.fullmatch(node.arg or "")}  # type: ignore[attr-defined]


def _names_in_forward_losses(tree: ast.Module, parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """Return the names in statements that compute a loss in `forward`, which evaluations call too.

    What only a model in training adds to its loss, `if self.training:`, is none of them.
    """
    methods = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in _FORWARDS)
    found = set[str]()
    for statement in (node for method in methods for node in ast.walk(method) if isinstance(node, ast.stmt)):
        if isinstance(statement, ast.Assign | ast.AugAssign):
            is_loss = any(map(_LOSS.fullmatch, _stored(statement)))
        else:
            calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call))
            is_loss = isinstance(statement, ast.Return) and any(_LOSSES.fullmatch(called(call)) for call in calls)
        if is_loss and not _only_in_training(statement, parents):
            found |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return found


def _only_in_training(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.If) and any(getattr(each, "attr", "") == "training" for each in ast.walk(node.test)):
            return True
    return False


def _read_in(part: ast.expr | ast.FunctionDef) -> set[str]:
    """Return the names that a part of a program reads from outside: what a function sets itself is left out."""
    names = [node for node in ast.walk(part) if isinstance(node, ast.Name)]
    own = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    own |= {node.arg for node in ast.walk(part) if isinstance(node, ast.arg)}
    return {node.id for node in names} - own


def _constructs(value: ast.expr) -> bool:
    """Return whether a value has an object of a class in it, such as a model: its sizes are no part of a loss."""
    calls = [called(node) for node in ast.walk(value) if isinstance(node, ast.Call)]
    return any(name[:1].isupper() for name in calls)


def _in_evaluation(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether a call is in an evaluation: in a function for it, without gradients, or for a held-out score."""
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.FunctionDef) and _is_evaluation(node.name):
            return True
        if any(map(stops_gradient, _contexts(node))) or any(map(_HELD_OUT.fullmatch, _stored(node))):
            return True
        texts = (
            (part.value for part in node.values if isinstance(part, ast.Constant))
            if isinstance(node, ast.JoinedStr)
            else ()
        )
        if any(_SAYS_HELD_OUT.search(str(text)) for text in texts):
            return True
    return False


def _contexts(node: ast.AST) -> list[ast.expr]:
    """Return the decorators of a function, or the contexts of a `with`."""
    if isinstance(node, ast.With):
        return [item.context_expr for item in node.items]
    return node.decorator_list if isinstance(node, ast.FunctionDef) else []


def _stored(node: ast.AST) -> list[str]:
    """Return the names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _keeps_time(node: ast.AST, child: ast.AST) -> bool:
    """Return whether a part of a program compares with a clock, or its child decides whether time counts."""
    if isinstance(node, ast.If):
        return child is node.test and any(map(_counts_time, node.body))
    return isinstance(node, ast.Compare) and any(map(_is_clock, ast.walk(node)))


def _is_clock(node: ast.AST) -> bool:
    """Return whether a part of a comparison is a clock: `time.time()`, or a name such as `elapsed`, `train_seconds`."""
    if isinstance(node, ast.Call):
        return called(node) in _CLOCK_CALLS
    name = name_of(node)
    return bool(_CLOCK.fullmatch(name)) and name != "time"


def _counts_time(node: ast.stmt) -> bool:
    return isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and _is_clock(node.target)
