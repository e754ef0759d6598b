"""Finds the constants that set what a score means: what a metric counts, the images, the environment, a leaking fit."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

from target.program.staying import DATA, MEASURE
from target.program.syntax import called, name_of

_AT: Final = re.compile(r"(?i:.*(?:@|\btop[- ]))", re.DOTALL)  # `recall@` and `top-` before a number
_RANKS: Final = frozenset({"sorted", "argsort", "argpartition", "nlargest", "most_common", "sort_values"})
_CHOOSES: Final = frozenset({"topk", "top_k", "nlargest", "most_common"})
_RANKED: Final = re.compile(
    r"(?i:(?:\w*_)?(?:rank(?:s|ed|ing)?|sorted|order|top|recs?|recommended|recommendations)(?:_\w*)?)"
)
_RESIZES: Final = frozenset(
    {"Resize", "resize", "imresize", "smart_resize", "resize_with_pad", "Resizing", "CenterCrop", "ResizeObservation"}
)
_SIZES: Final = frozenset({"image_size", "img_size", "target_size"})
_READS_IMAGES: Final = re.compile(r"\w*from_(?:directory|dataframe)|load_img|\w*loaders?|\w*datasets?")
_WRAPS: Final = re.compile(r"(?i:\w*(?:skip|repeat|time_?limit|sticky|noop|atari|delay)\w*)")
_MAKES: Final = re.compile(r"make|make_(?:\w+_)?envs?")
_MAKERS: Final = re.compile(r"gym\w*|suite|envs?|dmc2gym|procgen\w*")
_ANSWERS: Final = frozenset({"frame_skip", "frameskip", "action_repeat", "max_episode_steps"})
_WORLDS: Final = re.compile(r"\w*(?:Env|Environment)")
_WRAPPERS: Final = re.compile(r"(?:Observation|Reward|Action)?Wrapper")  # of gymnasium, as a base class
OF_AGENTS: Final = re.compile(r"\w*(?:ENVS|PROCS|PROCESSES|STACK|STACKED)\w*|N(?:UM)?_ENV")
_ENVIRONMENT: Final = re.compile(r"(?:\w*_)?(?:env|envs|environment)")
_STEPPED: Final = re.compile(r"(?i:\w*env(?:s|ironment)?(?:_\w+)?|game(?:_\w+)?)")
_CONVERTS: Final = frozenset({"int", "float", "np", "numpy", "torch", "array", "tensor"})
_FITS_WITH: Final = frozenset({"eval_set", "eval_sets", "validation_data", "valid_sets", "eval_data"})


def condition(node: ast.Name, parents: Mapping[ast.AST, ast.AST], *, in_evaluation: bool) -> str:
    """Return why a constant that is read at a place stays, since another value would be another task; empty if it may.

    It counts what a metric counts (`f"recall@{K}"`, `ranked[:K]` in an evaluation), sets the size of images
    (`Resize(SIZE)`), or how an environment answers (`gym.make(frameskip=N)`, `class MyEnv`, the same action for
    `range(N)` steps), or it switches a fit with the data of the score (`if ROUNDS: model.fit(x, y, eval_set=...)`).

    Args:
        node: Where it is read.
        parents: The parents of all nodes of the program.
        in_evaluation: Whether that is in an evaluation.
    """
    if _is_switch_of_fits(node, parents) or _is_label(node, parents):
        return MEASURE
    if in_evaluation and _is_length_of_ranking(node, parents):
        return MEASURE
    child: ast.AST = node
    while child in parents:
        above = parents[child]
        if isinstance(above, ast.Call) and child is not above.func:
            if _sets_images(above, child):
                return DATA
            if _sets_environment(above, child, node.id) or _repeats_action(above, parents):
                return MEASURE
        elif isinstance(above, ast.ClassDef) and _is_environment(above) and not OF_AGENTS.fullmatch(node.id):
            return MEASURE
        child = above
    return ""


def _is_label(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether the value is a part of the name of a metric: `f"recall@{K}"`, `"recall@" + str(K)`."""
    above = parents[node]
    if isinstance(above, ast.Call) and called(above) == "str":
        node, above = above, parents[above]
    if isinstance(above, ast.FormattedValue) and isinstance(text := parents[above], ast.JoinedStr):
        place = text.values.index(above)
        return place > 0 and _ends_with_mark(text.values[place - 1])
    return isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add) and _ends_with_mark(above.left)


def _ends_with_mark(text: ast.expr) -> bool:
    return isinstance(text, ast.Constant) and isinstance(text.value, str) and bool(_AT.fullmatch(text.value))


def _is_length_of_ranking(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether the value says how many of the best are taken: `ranked[:K]`, `argsort(x)[-K:]`, `topk(x, K)`."""
    above = parents[node]
    if isinstance(above, ast.Call) and node in above.args and called(above) in _CHOOSES:
        return True
    last = isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.USub)
    part = parents[above] if last else above
    if not isinstance(part, ast.Slice) or part.step:
        return False
    whole = parents[part]
    ends = (part.lower is above and part.upper is None) if last else (part.upper is node and part.lower is None)
    return ends and isinstance(whole, ast.Subscript) and _is_ranked(whole.value)


def _is_ranked(value: ast.expr) -> bool:
    while isinstance(value, ast.Subscript):  # `argsort(x)[::-1]`
        value = value.value
    return called(value) in _RANKS if isinstance(value, ast.Call) else bool(_RANKED.fullmatch(name_of(value)))


def _sets_images(call: ast.Call, child: ast.AST) -> bool:
    name, keyword = called(call), child.arg if isinstance(child, ast.keyword) else None
    if name in _RESIZES:
        return keyword in (None, "size", "height", "width", "shape", "dsize", "output_shape")
    return keyword in _SIZES and bool(_READS_IMAGES.fullmatch(name))


def _is_environment(node: ast.ClassDef) -> bool:
    bases = [name_of(base) for base in node.bases]
    return any(map(_WORLDS.fullmatch, (node.name, *bases))) or any(map(_WRAPPERS.fullmatch, bases))


def _sets_environment(call: ast.Call, child: ast.AST, constant: str) -> bool:
    """Return whether a value is handed to what makes an environment, or changes how one answers."""
    name = called(call)
    if OF_AGENTS.fullmatch(constant):
        return False
    if isinstance(child, ast.keyword) and child.arg in _ANSWERS:
        return True
    first = name_of(call.args[0]) if call.args else ""
    if name[:1].isupper() and _WRAPS.fullmatch(name) and _ENVIRONMENT.fullmatch(first):
        return child is not call.args[0]
    if not _MAKES.fullmatch(name):
        return False
    maker = name_of(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    return name != "make" or bool(_MAKERS.fullmatch(maker))


def _repeats_action(call: ast.Call, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether a `range` is that of a loop in which an environment gets the same action again and again."""
    loop = parents[call]
    if called(call) != "range" or not isinstance(loop, ast.For) or loop.iter is not call:
        return False
    inside = [node for statement in loop.body for node in ast.walk(statement)]
    stored = {each.id for each in (loop.target, *inside) if isinstance(each, ast.Name) and _is_stored(each)}
    for step in inside:
        if isinstance(step, ast.Call) and stepped_environment(step) and step.args:
            given = {each.id for each in ast.walk(step.args[0]) if isinstance(each, ast.Name)} - _CONVERTS
            given -= {each for each in given if _ENVIRONMENT.fullmatch(each)}
            calls = {called(each) for each in ast.walk(step.args[0]) if isinstance(each, ast.Call)}
            if given and not given & stored and calls <= _CONVERTS:
                return True
    return False


def stepped_environment(node: ast.AST) -> str:
    """Return the name of the environment that a call steps; empty for any other call, as that of an optimizer."""
    if not isinstance(node, ast.Call) or called(node) != "step" or not isinstance(node.func, ast.Attribute):
        return ""
    name = name_of(node.func.value)
    return name if _STEPPED.fullmatch(name) else ""


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_switch_of_fits(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether the value alone decides if a fit sees held-out data: `if ROUNDS: model.fit(eval_set=...)`."""
    above = parents[node]
    if isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.Not):
        node, above = above, parents[above]
    if isinstance(above, ast.IfExp) and above.test is node:
        holder = parents[above]
        return isinstance(holder, ast.keyword) and holder.arg in _FITS_WITH
    if not isinstance(above, ast.If) or above.test is not node:
        return False
    calls = [each for part in (*above.body, *above.orelse) for each in ast.walk(part) if isinstance(each, ast.Call)]
    return any(keyword.arg in _FITS_WITH for call in calls for keyword in call.keywords)
